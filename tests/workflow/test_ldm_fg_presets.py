"""LDM-FG's own recipes on a made-up NICO++, with everything small, and the plans of its tables."""

import numpy as np
import pandas as pd
import pytest
import torch
import trees
from tiny_models import stable_diffusion, unclip
from torchvision.models import resnet50
from workflow_helpers import REPOSITORY, make_copy_with_presets, planned, snakemake

pytestmark = pytest.mark.nightly

TREE = {("dim", "bear"): 85, ("rock", "bear"): 6, ("dim", "cat"): 80, ("rock", "cat"): 79}
SMALL = """
data_root: raw
foundations:
  tiny: {kind: folder, path: models/tiny}
  of_texts: {kind: folder, path: models/of_texts}
generators:
  ldm_fg: {foundation: tiny, precision: float32}
  sd21_base: {foundation: of_texts, precision: float32}
  adm64:
    side: 16
    steps: 2
    batch_size: 4
    precision: float32
    unet: {channels: 32, multipliers: [1], blocks: 1, attention_levels: [], head_channels: 8}
pools:
  ldm_fg_text: {draw: {steps: 2}, store: {side: 20}, batch_size: 4, shards: 2}
  ldm_fg_plain: {draw: {steps: 2}}
  nico_text: {shards: 2}
  nico_fg: {shards: 2}
  adm64: {fill_to: 6, draw: {steps: 2}, batch_size: 16, shards: 2}
classifiers:
  imagenet_ce: {side: 32, epochs: 1, batch_size: 16, precision: float32}
  nico_erm: {side: 32, epochs: 2}
searches:
  subpopbench: {trials: 2, over: {batch_size: {low: 8, high: 16}}}
datasets:
  nico: {shards: 2, store_side: 32}
recipes:
  nico_fg: {seeds: [0, 1]}
"""


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    root = make_copy_with_presets(tmp_path_factory.mktemp("presets") / "copy", SMALL)
    unclip(root / "models/tiny")
    stable_diffusion(root / "models/of_texts")
    torch.manual_seed(0)
    torch.save(resnet50().state_dict(), root / "models/resnet50.pth")
    trees.nico(root / "raw/nico", TREE)
    made = snakemake(root, "--cores", "2", "--resources", "gpu=2", "--", "all_nico")
    assert made.returncode == 0, made.stdout
    return root


def test_nico_goes_all_the_way(finished):
    results = pd.read_csv(finished / "results/nico/results.csv")
    figures = results.pivot_table(index=["recipe", "seed"], columns="metric", values="value")
    assert set(figures.index.get_level_values("recipe")) == {
        "imagenet_ce",
        "imagenet_diffult",
        "nico_erm",
        "nico_text",
        "nico_fg",
    }
    assert np.isfinite(figures[["top1", "worst_group", "val_top1"]]).all(axis=None)
    assert figures.loc[("nico_fg", 1), "generated_pictures"] == 4 * 10 - (10 + 0 + 5 + 4)
    plan = pd.read_parquet(finished / "results/nico/plan/nico_fg/plan.parquet")
    assert set(plan["prompt"]) == {"bear in rock", "cat in dim", "cat in rock"}
    page = (finished / "results/nico/summary.md").read_text()
    assert "worst group" in page and "nico_fg" in page
    assert planned(finished, "all_nico") == {}


@pytest.mark.parametrize("name", ["table_ldm_fg_1", "table_ldm_fg_5", "figure_ldm_fg_14", "figure_ldm_fg_15"])
def test_a_table_or_figure_is_planned(name):
    ran = snakemake(REPOSITORY, "-n", name)
    assert ran.returncode == 0, ran.stdout


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ("2", "pretrained is 'models/resnet50.pth'"),
        ("3", "inception_weights is 'models/weights-inception-2015-12-05-6726825d.pth'"),
        ("6", "pretrained is 'models/resnet50.pth'"),
        ("7", "pretrained is 'models/resnet152.pth'"),
    ],
)
def test_weights_that_are_not_there_are_told_before_any_job(table, told):
    ran = snakemake(REPOSITORY, "-n", f"table_ldm_fg_{table}")
    assert ran.returncode == 1 and f"{told}, but there is no such file" in ran.stdout
