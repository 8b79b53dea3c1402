"""A pool that reads no subset: made once for its source, it fills every subset, each to its own largest class."""

import pandas as pd
import pytest
import yaml
from test_text_to_image_workflow import ADDED
from tiny_models import clip, stable_diffusion
from workflow_helpers import copy_of, modules_beside_fingerprints, planned, snakemake, stage

from pipeline.config.resolve import deep_merge

pytestmark = pytest.mark.nightly

CHANGED = {
    "datasets": {
        "demo": {"source": "digits", "imbalance_factor": 40, "largest_class": 110},
        "steep": {"source": "digits", "imbalance_factor": 25, "largest_class": 50},
    },
    "pools": {"painted": {"fill_to": None, "per_class": 20, "surplus": 0.5}},
    "filters": {"painted": {"keep": "clip_times_classes > 1", "fill_to": 20, "top_up": True}},
    "recipes": {"painted": {"datasets": ["demo", "steep"], "main": False}},
}
TARGET = "recipe_painted"


def run(root, *arguments):
    ran = snakemake(root, *arguments)
    assert ran.returncode == 0, ran.stdout
    return ran.stdout


@pytest.fixture(scope="module")
def shared(finished, tmp_path_factory):
    """A copy of the micro run, with a pool that two data sets use."""
    root = copy_of(finished, tmp_path_factory.mktemp("shared") / "micro")
    config = yaml.safe_load((root / "workflow_config.yaml").read_text())
    (root / "workflow_config.yaml").write_text(yaml.safe_dump(deep_merge(deep_merge(config, ADDED), CHANGED)))
    stable_diffusion(root / "models/tiny")
    clip(root / "models/clip")
    run(root, TARGET)
    return root


@pytest.fixture
def copy(shared, tmp_path):
    return copy_of(shared, tmp_path / "copy")


def change(root, old, new):
    config = (root / "workflow_config.yaml").read_text()
    assert config.count(old) == 1
    (root / "workflow_config.yaml").write_text(config.replace(old, new))


def test_it_lies_once_and_fills_each_subset(shared):
    made = {path.parent.relative_to(shared / "results").as_posix() for path in shared.glob("results/*/*/painted/*")}
    assert {"digits/plan/painted", "digits/sample/painted"} <= made
    assert not made & {"demo/sample/painted", "steep/sample/painted", "demo/plan/painted", "steep/plan/painted"}
    assert (shared / "results/digits/prompts/plain/prompts.parquet").is_file()
    plan = pd.read_parquet(shared / "results/digits/plan/painted/plan.parquet")
    assert plan.groupby("class")["surplus"].agg(["size", "sum"]).drop_duplicates().to_numpy().tolist() == [[30, 10]]
    for dataset in ("demo", "steep"):
        manifest = pd.read_parquet(shared / f"results/{dataset}/subset/manifest.parquet")
        real = manifest.loc[manifest["split"] == "train", "class"].value_counts().sort_index()
        selected = pd.read_parquet(shared / f"results/{dataset}/select/painted/selected.parquet")
        assert set(selected["shard"]) <= {f"../../../digits/sample/painted/shard-0000{shard}.tar" for shard in (0, 1)}
        lacking = (20 - real).clip(lower=0)
        assert selected["class"].value_counts().reindex(real.index, fill_value=0).to_dict() == lacking.to_dict()
        assert (shared / f"results/{dataset}/grid/painted.png").is_file()
        assert (shared / f"results/{dataset}/recipe/painted/summary.md").is_file()
    assert planned(shared, TARGET) == {}


def test_every_module_that_its_jobs_load_is_in_their_fingerprints(shared):
    missed = modules_beside_fingerprints(shared)
    assert {"classes", "prompts", "plan", "sample", "select"} <= set(missed)
    assert not any(missed.values())


def test_another_subset_makes_no_picture_again(copy):
    change(copy, "imbalance_factor: 25", "imbalance_factor: 10")
    stages = {job.split()[0] for job in planned(copy, TARGET)}
    assert {"subset", "manifest", "score", "select", "classifier", "grid"} <= stages
    assert not stages & {"classes", "prompts", "plan", "sample", "generator"}


def test_its_results_are_whole_and_none_is_left_over(copy):
    told = stage(copy, "verify", "--results", "results")
    assert told.returncode == 0 and " 0 damaged" in told.stdout, told.stdout
    assert "left over" not in run(copy, "verify")


def test_a_lost_shard_is_made_again_with_the_same_bytes(copy):
    shard = copy / "results/digits/sample/painted/shard-00001.tar"
    before = shard.read_bytes()
    shard.unlink()
    shard.with_suffix(".parquet").unlink()
    assert {job.split()[0] for job in planned(copy, "results/digits/sample/painted/shard-00001.tar")} == {"sample"}
    run(copy, "results/digits/sample/painted/shard-00001.tar")
    assert shard.read_bytes() == before


def test_missing_raw_data_of_its_source_are_reported_before_any_job(copy):
    raw = yaml.safe_load((copy / "workflow_config.yaml").read_text())
    raw["datasets"]["far"] = {"source": "cifar100", "imbalance_factor": 100}
    raw["recipes"]["painted"]["datasets"] = ["far"]
    raw["data_root"] = "nowhere"
    for name in ("ce", "painted"):
        raw["classifiers"][name]["side"] = 8
    (copy / "workflow_config.yaml").write_text(yaml.safe_dump(raw))
    (copy / "nowhere/cifar-100-binary").mkdir(parents=True)
    ran = snakemake(copy, "results/cifar100/plan/painted/plan.parquet")
    assert ran.returncode == 1 and "far: nowhere/cifar-100-binary lacks train.bin" in ran.stdout, ran.stdout
    assert not (copy / "logs/classes/cifar100.log").exists()
