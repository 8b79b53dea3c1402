"""Pictures that the long tail left out: who may use them, what they are inputs of, and how results say so."""

import pytest
from examples import PAINTED, example, refused

from pipeline.config import reads
from pipeline.config.targets import grid_title, results_of, trained_foundations
from pipeline.config.workflow import Workflow


def small(**sections):
    """The example with a pool that is drawn by a small foundation, and a classifier of each way of seeing more."""
    added = {
        "foundations": {"tiny": {"kind": "mini", "dataset": "cifar100_lt_200"}},
        "prompts": PAINTED["prompts"],
        "generators": PAINTED["generators"],
        "pools": {"painted": {**PAINTED["pools"]["painted"], "store": {"side": 32}}},
        "filters": {"painted": {"pool": "painted"}},
        "classifiers": {
            "bound": {"extends": "ce", "data": ["real", "rest"]},
            "painted": {"extends": "ce", "data": ["real", "painted"]},
            "second": {"extends": "ce", "init": "bound"},
        },
        "recipes": {"all": {"classifiers": ["ce", "bound", "painted", "second"], "datasets": ["cifar100_lt"]}},
    }
    raw = example(**added)
    for section, entries in sections.items():
        for name, keys in entries.items():
            raw[section][name] = {**raw[section].get(name, {}), **keys}
    return raw


def test_runs_say_how_they_see_left_out_pictures():
    flow = Workflow(small())
    found = {run.recipe: results_of(run)["sees_rest"] for run in flow.runs if run.entry == "all"}
    assert found == {"ce": "", "bound": "rest", "painted": "mini", "second": "rest"}


def test_a_filter_by_a_small_clip_sees_them_too():
    raw = small(
        scores={"clip": {"kind": "clip", "pool": "cbdm", "foundation": "tiny"}},
        filters={"painted": {"pool": None, "scores": "clip", "keep": "clip > 0.5"}},
    )
    assert Workflow(raw).run("painted", "cifar100_lt").sees_rest == "mini"


def test_a_summary_reads_the_small_foundations_of_its_runs():
    flow = Workflow(small())
    assert trained_foundations(flow, flow.runs) == ["results/foundations/tiny/foundation.parquet"]
    assert trained_foundations(flow, [flow.run("ce", "cifar100_lt")]) == []


def test_a_grid_says_what_its_generator_has_seen():
    flow = Workflow(small())
    assert grid_title(flow, "cifar100_lt", "cbdm") == "cifar100_lt, pool cbdm"
    assert grid_title(flow, "cifar100_lt", "painted").endswith("(mini: has seen pictures that the long tail left out)")


def test_the_pictures_of_its_data_set_are_inputs_of_a_small_foundation():
    flow = Workflow(small(datasets={"cifar100_lt_200": {"shards": 2}}))
    real = [f"results/cifar100_lt_200/subset/real/shard-0000{shard}.tar" for shard in (0, 1)]
    wildcards = {"name": "tiny"}
    assert reads.inputs(flow, "foundation", wildcards) == {
        "manifest": ["results/cifar100_lt_200/subset/manifest.parquet"],
        "real": real,
    }
    assert reads.options(flow, "foundation", wildcards) == ["manifest"]
    assert reads.settings(flow, "foundation", wildcards)["unet"]["channels"] == [32, 64]
    assert "foundations.mini" in reads.modules(flow, "foundation", wildcards)


def test_only_what_names_rest_has_another_setting():
    """The settings of trainings that are there already stay as they were."""
    flow = Workflow(small())
    settings = {
        name: reads.settings(flow, "classifier", {"name": name, "dataset": "cifar100_lt", "seed": "0"})
        for name in ("ce", "bound")
    }
    assert settings["bound"]["rest"] is True
    assert "rest" not in settings["ce"]


NO_REST = "data names rest, but the data set leaves no pictures out; set its `rest` to true"
CONTROL = {"steps_as": ["likely"], "data": ["real", "rest"]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"datasets": {"cifar100_lt": {"rest": False}}},
            "foundations.tiny: it trains on pictures that cifar100_lt_200 leaves",
        ),
        (
            {"datasets": {"cifar100_lt": {"rest": False}}, "foundations": {"tiny": {"dataset": "other"}}}
            | {"datasets": {"cifar100_lt": {"rest": False}, "other": {"extends": "cifar100_lt", "rest": True}}},
            f"classifiers.bound on cifar100_lt: {NO_REST}",
        ),
        ({"filters": {"rest": {"pool": "cbdm"}}}, "filters: 'rest' is not a valid name"),
        (
            {"classifiers": {"painted": CONTROL}},
            "steps_as names filters of a control that trains on real pictures only",
        ),
        ({"foundations": {"tiny": {"dataset": "cifar"}}}, "foundations.tiny"),
        ({"foundations": {"tiny": {"caption": "a photo"}}}, "'a photo' must have {class} in it"),
        ({"foundations": {"tiny": {"variant": "fp16"}}}, "foundations.tiny"),
    ],
)
def test_what_cannot_be_is_told(change, message):
    assert message in refused(small(**change))
