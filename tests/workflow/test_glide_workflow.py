"""A pool from GLIDE: from its authors' files through foundation, plan, sample, score, select and classifier."""

import os
import shutil

import pandas as pd
import pytest
import yaml
from runs import Run
from tiny_glide import originals
from tiny_models import clip
from workflow_helpers import bytes_under, copy_of, copy_with, modules_beside_fingerprints, planned, snakemake

from pipeline.artifacts import made
from pipeline.artifacts.digests import digest

pytestmark = pytest.mark.nightly

FILES = {"base": "base.pt", "upsampler": "upsample.pt", "vocabulary": "vocab.bpe"}
ADDED = {
    "foundations": {
        "glide": {"kind": "glide"} | {key: f"models/glide/{name}" for key, name in FILES.items()},
        "tiny_clip": {"kind": "folder", "path": "models/clip"},
    },
    "prompts": {"plain": {"kind": "templates"}},
    "generators": {"glide": {"kind": "glide", "foundation": "glide"}},
    "pools": {
        "glide": {
            "generator": "glide",
            "prompts": "plain",
            "draw": {"kind": "glide", "steps": 2},
            "store": {"side": 8},
            "per_class": 2,
            "batch_size": 4,
            "shards": 2,
        }
    },
    "scores": {"glide": {"kind": "clip", "pool": "glide", "foundation": "tiny_clip"}},
    "filters": {"glide": {"scores": "glide", "keep": "clip >= 0"}},
    "classifiers": {"glide": {"extends": "ce", "data": ["real", "glide"]}},
    "recipes": {"glide": {"extends": "ce", "classifier": "glide", "seeds": [0]}},
}
TARGET = "recipe_glide"
SHARD = "results/digits/sample/glide/shard-00000.tar"
FOUNDATION = "results/foundations/glide/foundation.parquet"


@pytest.fixture(scope="module")
def begun(finished, tmp_path_factory):
    """A copy of the micro run, with a pool from GLIDE in its config, of which nothing has been made."""
    root = copy_with(finished, tmp_path_factory.mktemp("glide") / "micro", ADDED)
    originals(root / "models/glide")
    clip(root / "models/clip")
    return root


@pytest.fixture(scope="module")
def drawn(begun, tmp_path_factory):
    root = copy_of(begun, tmp_path_factory.mktemp("drawn") / "micro")
    ran = snakemake(root, TARGET)
    assert ran.returncode == 0, ran.stdout
    return root


@pytest.fixture
def copy(drawn, tmp_path):
    return copy_of(drawn, tmp_path / "copy")


def test_the_pool_reaches_the_classifier(drawn):
    index = pd.concat(map(pd.read_parquet, sorted(drawn.glob("results/digits/sample/glide/*.parquet"))))
    assert (index["prompt"] == "A photo of a " + index["class_name"] + ".").all()
    assert len(index) == 20 and set(index["generator"]) == {"results/foundations/glide"}
    assert len(pd.read_parquet(drawn / "results/demo/select/glide/selected.parquet")) == 20
    assert (drawn / "results/demo/grid/glide.png").is_file()
    assert (drawn / "results/demo/recipe/glide/summary.md").is_file()
    kept = made.about(drawn / FOUNDATION)["originals"]
    assert kept == {f"models/glide/{name}": digest(drawn / "models/glide" / name) for name in FILES.values()}


def test_every_module_that_its_jobs_load_is_in_their_fingerprints(drawn):
    missed = modules_beside_fingerprints(drawn)
    assert {"foundation", "prompts", "plan", "sample", "score", "select", "classifier"} <= set(missed)
    assert not any(missed.values())


def test_the_originals_are_needed_only_once(copy):
    shutil.rmtree(copy / "models/glide")
    assert planned(copy, TARGET) == {}
    for path in copy.glob("results/digits/sample/glide/shard-00000.*"):
        path.unlink()
    ran = snakemake(copy, SHARD)
    assert ran.returncode == 0, ran.stdout


def test_killed_in_the_middle_a_shard_has_the_same_bytes(copy):
    expected = bytes_under(copy / "results")
    for path in copy.glob("results/digits/sample/glide/shard-00000.*"):
        path.unlink()
    run = Run(copy, SHARD)
    assert run.wait_until(lambda: any(copy.glob("results/digits/sample/glide/checkpoints/*/*"))), run.told
    run.kill()
    snakemake(copy, "--unlock")
    again = snakemake(copy, SHARD)
    assert again.returncode == 0, again.stdout
    assert bytes_under(copy / "results") == expected


def test_only_what_follows_from_a_change_is_planned(copy):
    config = yaml.safe_load((copy / "workflow_config.yaml").read_text())
    config["pools"]["glide"]["draw"]["guidance_scale"] = 1.0
    (copy / "workflow_config.yaml").write_text(yaml.safe_dump(config))
    jobs = {" ".join(job.split()[:2]).removesuffix(".png") for job in planned(copy, TARGET)}
    drawing = {"sample glide", "grid glide", "score glide", "select glide"}
    assert jobs == drawing | {"classifier glide", "evaluate glide", "summary recipe"}


def test_its_cost_is_estimated(copy):
    ran = snakemake(copy, "cost_demo")
    assert ran.returncode == 0, ran.stdout
    figures = pd.read_csv(copy / "results/demo/cost/throughput.csv")
    assert "glide" in set(figures.loc[figures["stage"] == "sample", "part"])


def test_files_that_are_not_there_are_told_before_any_job(begun, tmp_path):
    root = copy_of(begun, tmp_path / "copy")
    (root / "models/glide/upsample.pt").unlink()
    told = (
        "foundations.glide: upsampler is 'models/glide/upsample.pt', but there is no such file; put it there (docs/te"
    )
    dry = snakemake(root, "-n", FOUNDATION)
    assert dry.returncode == 0 and f"warning: {told}" in dry.stdout
    ran = snakemake(root, FOUNDATION)
    assert ran.returncode == 1 and told in ran.stdout and "Traceback" not in ran.stdout


def test_a_disk_that_is_too_small_is_told_before_any_job(begun, tmp_path):
    root = copy_of(begun, tmp_path / "copy")
    os.truncate(root / "models/glide/upsample.pt", 15 * 10**12)  # 15 TB, of which none are written
    ran = snakemake(root, FOUNDATION)
    assert ran.returncode == 1 and "Traceback" not in ran.stdout
    assert "foundations.glide: 15000.0 GB after conversion; " in ran.stdout
    assert "foundations.glide: its files take 15000.0 GB, but the disk of results/foundations/glide has " in ran.stdout


def test_a_file_that_is_cut_is_told_by_the_job(begun, tmp_path):
    root = copy_of(begun, tmp_path / "copy")
    path = root / "models/glide/base.pt"
    path.write_bytes(path.read_bytes()[:-1000])
    ran = snakemake(root, FOUNDATION)
    assert ran.returncode == 1 and "models/glide/base.pt is not a readable weight file; give the base of" in ran.stdout
    assert "Traceback" not in ran.stdout and not (root / FOUNDATION).exists()
