"""Fill-Up's own recipes on a made-up ImageNet, with everything small: from raw files to the table of results."""

import numpy as np
import pandas as pd
import pytest
import trees
from tiny_models import stable_diffusion
from workflow_helpers import REPOSITORY, make_copy_with_presets, planned, snakemake

from pipeline.data.imagenet100_classes import COUNTS

pytestmark = pytest.mark.nightly

SMALL = """
data_root: raw
foundations:
  tiny: {kind: folder, path: models/tiny}
generators:
  fill_up: {foundation: tiny, precision: float32, steps_per_picture: 0, least_steps: 2, most_steps: 2, checkpoint_steps: 1, shards: 2}
  adm64:
    side: 16
    steps: 2
    batch_size: 4
    precision: float32
    unet: {channels: 32, multipliers: [1], blocks: 1, attention_levels: [], head_channels: 8}
pools:
  fill_up: {draw: {steps: 2}, store: {side: 16}, batch_size: 16, shards: 2, where: {imagenet100_lt: {per_class: 4}}}
  adm64: {fill_to: 6, draw: {steps: 2}, batch_size: 16, shards: 2}
filters:
  fill_up: {fill_to: 9}
classifiers:
  imagenet_ce: {backbone: small, side: 16, epochs: 1, precision: float32}
  fill_up_real: {epochs: 1}
  fill_up: {epochs: 2, warmup_epochs: 1}
datasets:
  imagenet100_lt: {shards: 2, store_side: 20}
"""


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    root = make_copy_with_presets(tmp_path_factory.mktemp("presets") / "copy", SMALL)
    stable_diffusion(root / "models/tiny")
    one = trees.put(root / "raw/imagenet", {"one.jpg": trees.picture(0)}) / "one.jpg"
    for wnid, count in COUNTS.items():
        for part, wanted in (("train", count), ("val", 1)):
            folder = root / "raw/imagenet" / part / wnid
            folder.mkdir(parents=True)
            for i in range(wanted):
                (folder / f"{i}.JPEG").hardlink_to(one)
    return root


@pytest.fixture(scope="module")
def finished(copy):
    made = snakemake(copy, "--cores", "2", "--resources", "gpu=2", "--", "all_imagenet100_lt")
    assert made.returncode == 0, made.stdout
    return copy


def test_fill_up_goes_all_the_way(finished):
    results = pd.read_csv(finished / "results/imagenet100_lt/results.csv").set_index(["recipe", "metric"])["value"]
    counts = np.array(list(COUNTS.values()))
    assert results["fill_up_1", "generated_pictures"] == np.minimum(np.maximum(9 - counts, 0), 4).sum()
    assert results["fill_up", "generated_pictures"] == 0 and results["fill_up", "real_pictures"] == counts.sum()
    assert np.isfinite(
        [results[recipe, "top1"] for recipe in ("imagenet_ce", "imagenet_diffult", "fill_up_1", "fill_up")]
    ).all()
    states = pd.read_parquet(finished / "results/imagenet100_lt/adapt/fill_up/states.parquet")
    assert len(states) == 200 and set(states["folder"]) == {"shard-00000", "shard-00001"}
    plan = pd.read_parquet(finished / "results/imagenet100_lt/plan/fill_up/plan.parquet")
    assert len(plan) == 400 and plan["checkpoint"].value_counts().to_dict() == {1: 200, 2: 200}
    assert planned(finished, "all_imagenet100_lt") == {}


@pytest.mark.parametrize("table", ["1", "3", "5", "6", "a7", "a8", "a10"])
def test_a_table_is_planned(table):
    ran = snakemake(REPOSITORY, "-n", f"table_fill_up_{table}")
    assert ran.returncode == 0, ran.stdout


@pytest.mark.parametrize(
    ("table", "key"),
    [
        ("4", "pretrained is 'models/resnet152.pth'"),
        ("a9", "inception_weights is 'models/weights-inception-2015-12-05-6726825d.pth'"),
    ],
)
def test_weights_that_are_not_there_are_told_before_any_job(table, key):
    ran = snakemake(REPOSITORY, "-n", f"table_fill_up_{table}")
    assert ran.returncode == 1 and f"{key}, but there is no such file" in ran.stdout
