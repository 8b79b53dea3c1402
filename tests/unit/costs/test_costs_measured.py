"""Figures of this machine: the stages' own code is timed, with as much as the machine can take."""

import types

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from workflow_helpers import REPOSITORY, copy_of, modules_beside_fingerprints, planned, snakemake

from pipeline.artifacts import shards
from pipeline.artifacts.pictures import encode
from pipeline.config import costs
from pipeline.config.schemes import SCHEMES
from pipeline.config.workflow import Workflow
from pipeline.costs import figures
from pipeline.costs.measure import classifiers, generators, timing
from pipeline.costs.measure.classifiers import Stored
from pipeline.costs.measure.timing import Timed, with_growing_batches

OWN = {  # what a scheme needs beyond the defaults, and what sets in late
    "plain": {"loss": {"kind": "ldam", "class_weights": {"kind": "effective_number", "start": 0.8}}},
    "cutmix": {"uncut_epochs": [4, 3]},
    "crt": {"init": "first"},
    "lws": {"init": "first"},
    "meta_sampler": {"init": "first"},
    "tau_norm": {"init": "first"},
    "sau": {"augment_2": ["flip"], "augment_3": ["flip"]},
}


@pytest.fixture(scope="module")
def stored(tmp_path_factory) -> Stored:
    """Three pictures of 8 pixels."""
    path = tmp_path_factory.mktemp("stored") / "real.tar"
    random = np.random.default_rng(0)
    pictures = (encode(random.integers(0, 256, (8, 8, 3), np.uint8)) for _ in range(3))
    about = {"class": 0, "class_name": "a", "split": "train"}
    return Stored(
        shards.write(path, ((str(key), data, "png", about) for key, data in enumerate(pictures))), path.parent
    )


def settings_of(scheme: str) -> dict:
    """A small classifier's, as the throughput stage gets them."""
    entry = {"scheme": scheme, "data": ["real", "all"], "backbone": "small", "width": 8, "batch_size": 4} | OWN.get(
        scheme, {}
    )
    raw = {
        "datasets": {
            "demo": {"source": "image_folder", "path": "pictures", "table": "t.csv"}
        },  # with groups and val, perhaps
        "generators": {"cbdm": {"kind": "cbdm"}},
        "pools": {"pool": {"generator": "cbdm", "fill_to": "max"}},
        "filters": {"all": {"pool": "pool"}},
        "classifiers": {"it": entry, "first": {"data": ["real"], "backbone": "small", "width": 8}},
        "recipes": {"it": {"classifier": "it", "datasets": ["demo"], "main": True}},
    }
    flow = Workflow(raw)
    return costs.timed(flow, "demo", flow.runs)["classifiers"]["it"]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_scheme_can_be_timed(scheme, stored, cpu):
    found = classifiers.training(settings_of(scheme), stored, 5, cpu)
    assert found.weights > 0
    if scheme != "tau_norm":  # which trains nothing
        assert found.timed.seconds > 0 and found.timed.batch == 4
        assert found.checkpoint > 0


def test_batches_grow_until_a_step_takes_a_second():
    asked = []

    def step_seconds(batch):
        asked.append(batch)
        return 0.03 * batch

    assert with_growing_batches(step_seconds, 1, 512) == Timed(64, 0.03 * 64)
    assert asked == [1, 4, 16, 64]
    assert with_growing_batches(step_seconds, 2, 20) == Timed(20, 0.03 * 20)
    assert with_growing_batches(step_seconds, 2, 1).batch == 1


def test_a_batch_that_does_not_fit_into_memory_is_left_out(capsys):
    def step_seconds(batch):
        if batch > 10:
            raise torch.OutOfMemoryError
        return 0.001

    assert with_growing_batches(step_seconds, 1, 512).batch == 4
    assert "a batch of 16 does not fit" in capsys.readouterr().out


@pytest.fixture(scope="module")
def measured(finished, tmp_path_factory):
    """A finished run with what it was estimated to cost on this machine."""
    root = copy_of(finished, tmp_path_factory.mktemp("measured") / "copy")
    made = snakemake(root, "cost_demo")
    assert made.returncode == 0, made.stdout
    return root


@pytest.mark.slow
def test_every_figure_is_measured(measured):
    table = pd.read_csv(measured / "results/demo/cost/throughput.csv")
    raw = yaml.safe_load((REPOSITORY / "tests/micro.yaml").read_text())
    raw.pop("data_root")
    flow = Workflow(raw)
    config = costs.counted(flow, "demo", [run for runs in flow.families().values() for run in runs])
    rows = list(table[list(figures.Figure._fields)].itertuples(index=False, name=None))
    assert sorted(rows) == sorted(tuple(figure) for figure in figures.wanted(config))
    assert set(table["origin"]) == {"measured"}
    assert (table["value"] > 0).all() and np.isfinite(table["value"]).all()
    values = table.set_index(list(figures.Figure._fields))["value"]
    unet = measured / "results/demo/generator/cbdm"
    assert values["generator", "cbdm", "bytes of weights"] == sum(
        path.stat().st_size for path in unet.rglob("*") if path.parent != unet and path.is_file()
    )
    weights = (measured / "results/demo/classifier/ce/seed-0/weights.safetensors").stat().st_size
    assert values["classifier", "ce", "bytes of weights"] == pytest.approx(weights, rel=0.1)
    pool = measured / "results/demo/sample/cbdm"
    made = sum(path.stat().st_size for path in pool.glob("*.tar")) / len(
        pd.concat([pd.read_parquet(path) for path in pool.glob("*.parquet")])
    )
    assert values["sample", "cbdm", "bytes a picture"] == pytest.approx(made, rel=0.25)


@pytest.mark.slow
def test_an_estimate_is_not_made_twice(measured):
    assert planned(measured, "--", "cost_demo") == {}
    text = (measured / "results/demo/cost/cost.md").read_text()
    assert "Speeds were measured on" in text and "| generator " in text


@pytest.mark.slow
def test_every_module_that_these_jobs_load_is_in_their_fingerprints(measured):
    assert modules_beside_fingerprints(measured) == {"cost": set(), "throughput": set()}


def test_what_comes_once_a_picture_is_not_counted_with_every_step(monkeypatch, tmp_path):
    now, manifest = 0.0, tmp_path / "manifest.parquet"
    shards.write_table(pd.DataFrame({"key": ["a", "b"]}), manifest)

    class Sampler:
        """Takes a second for a step, and ten for what comes once."""

        def __init__(self, inputs, settings, device):
            self.seconds = 10 + settings["draw"]["steps"]

        def draw(self, rows):
            nonlocal now
            now += self.seconds
            yield np.zeros((len(rows), 8, 8, 3), np.uint8)

    monkeypatch.setattr(generators.kinds, "load", lambda *_: types.SimpleNamespace(Sampler=Sampler))
    monkeypatch.setattr(timing, "_now", lambda _: now)
    for steps in (1, 2, 50):
        settings = {"generator": {"kind": "slow"}, "adapted": False, "draw": {"steps": steps}, "batch_size": 1}
        timed = generators.drawing(settings, {"manifest": [manifest]}, 10, torch.device("cpu"))
        assert steps * timed.seconds == pytest.approx(10 + steps)
