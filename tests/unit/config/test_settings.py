"""The settings that stages get from their parts."""

import subprocess
import sys

from examples import EXAMPLE, example
from workflow_helpers import REPOSITORY

from pipeline.config.resolve import SCHEMA
from pipeline.config.workflow import Workflow


def test_settings_hold_every_key_but_references():
    flow = Workflow(EXAMPLE)
    assert "generator" not in flow.part("pools", "cbdm").settings()
    settings = flow.part("classifiers", "diffult").settings()
    assert not {"data", "init", "steps_as"} & set(settings)
    loss = {"kind": "weighted_cross_entropy", "generated_weight": 0.3, "normalise_by": "batch"}
    assert settings["real"] is True and settings["loss"] == loss
    assert flow.part("scores", "by_ce").settings() == {"kind": "classifier", "columns": ["d1", "d2", "d3"]}
    topped = Workflow(example(pools={"cbdm": {"surplus": 0.3}}, filters={"likely": {"top_up": True}}))
    assert topped.part("filters", "likely").selecting_settings(topped.parts)["top_up"] == "d3"
    assert flow.part("filters", "likely").selecting_settings(flow.parts) == {
        "keep": [["d3", ">=", 5e-7]],
        "first": None,
        "fill_to": None,
        "top_up": None,
        "highest": None,
        "fill_range": [0, 1],
        "cells": "class",
    }
    assert set(flow.part("generators", "cbdm").settings()) == set(SCHEMA["generators"][1]["cbdm"].model_fields) - {
        "where"
    }


def test_family_of_a_data_set_is_no_setting_of_its_subset():
    assert "family" not in Workflow(EXAMPLE).part("datasets", "cifar100_lt").settings()


def test_plan_and_sampling_read_separate_keys():
    flow = Workflow(EXAMPLE)
    pool = flow.part("pools", "cbdm")
    assert set(pool.plan_settings()) == {
        "cells",
        "fill_to",
        "per_class",
        "fill_range",
        "surplus",
        "classes",
        "shots",
        "seed",
    }
    sampling = pool.sampling_settings(flow.parts)
    assert set(sampling) == {"generator", "draw", "batch_size", "store"}
    assert sampling["generator"] == {"kind": "cbdm"}  # all else is in the trained files


def test_derived_parts_differ_in_settings_by_the_varied_key_alone():
    flow = Workflow(EXAMPLE)
    one, other = (flow.part("generators", name).settings() for name in ("cbdm", "cbdm~tau=2"))
    assert {key for key in one if one[key] != other[key]} == {"tau"}


def test_reading_the_config_imports_nothing_heavy():
    code = "import sys, pipeline.config.workflow; print(*sorted(name.split('.')[0] for name in sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True, timeout=60
    )
    heavy = {"torch", "numpy", "pandas", "diffusers", "torchvision", "sklearn", "pyarrow", "PIL"}
    assert "pydantic" in done.stdout.split() and not heavy & set(done.stdout.split())
