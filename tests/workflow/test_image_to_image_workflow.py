"""Pools of pictures made from real ones: through plan, sample, score, select and classifier, killed and continued."""

import json
import shutil
import sys

import pandas as pd
import pytest
import yaml
from PIL import Image
from runs import Run
from tiny_models import clip, image_variation, stable_diffusion, unclip
from workflow_helpers import bytes_under, copy_of, copy_with, modules_beside_fingerprints, planned, snakemake, stage

pytestmark = pytest.mark.nightly

POOL = {"store": {"side": 8}, "fill_to": 30, "batch_size": 8, "shards": 2}
ADDED = {
    "foundations": {
        "tiny": {"kind": "folder", "path": "models/tiny", "safety_checker": True},
        "tiny_variation": {"kind": "folder", "path": "models/variation"},
        "tiny_unclip": {"kind": "folder", "path": "models/unclip"},
        "tiny_clip": {"kind": "folder", "path": "models/clip"},
    },
    "prompts": {"plain": {"kind": "templates", "templates": ["A photo of a {class}.", "the digit {class}"]}},
    "generators": {
        "editor": {"kind": "image_to_image", "foundation": "tiny", "precision": "bfloat16", "safety_checker": True},
        "variations": {"kind": "image_variation", "foundation": "tiny_variation"},
        "reimagine": {"kind": "unclip", "foundation": "tiny_unclip"},
    },
    "pools": {
        "edited": {
            **POOL,
            "generator": "editor",
            "prompts": "plain",
            "draw": {"kind": "image_to_image", "strength": [0.25, 0.75], "steps": 4, "guidance_scale": 2.0},
        },
        "varied": {**POOL, "generator": "variations", "draw": {"kind": "image_variation", "steps": 2}},
        "reimagined": {**POOL, "generator": "reimagine", "draw": {"kind": "unclip", "steps": 2}},
    },
    "scores": {"edited_by_clip": {"kind": "clip", "pool": "edited", "foundation": "tiny_clip"}},
    "filters": {
        "edited": {"scores": "edited_by_clip", "keep": "clip_times_classes > 1"},
        "varied": {"pool": "varied"},
        "reimagined": {"pool": "reimagined"},
    },
    "classifiers": {"edited": {"extends": "ce", "data": ["real", "edited", "varied", "reimagined"]}},
    "recipes": {"edited": {"extends": "ce", "classifier": "edited", "seeds": [0]}},
    "comparisons": {
        "noise": {
            "pool": "reimagined",
            "datasets": ["demo"],
            "classes": ["zero", "three"],
            "rows": {"draw.noise_level": [0, 900]},
            "columns": {"draw.steps": [1, 2, 3]},
        },
        "dropped": {
            "pool": "reimagined",
            "datasets": ["demo"],
            "classes": ["three"],
            "rows": {"draw.embedding_dropout": [0.0, 0.5, 0.9]},
            "pictures": 4,
        },
    },
}
TARGET = "recipe_edited"
POOLS = ("edited", "varied", "reimagined")
SHARD = "results/demo/sample/edited/shard-00000.tar"


@pytest.fixture(scope="module")
def edited(finished, tmp_path_factory):
    """A copy of the micro run, with the pools in its config and a classifier that is trained on them."""
    root = copy_with(finished, tmp_path_factory.mktemp("images") / "micro", ADDED)
    stable_diffusion(root / "models/tiny", threshold=0.332)
    image_variation(root / "models/variation")
    unclip(root / "models/unclip")
    clip(root / "models/clip")
    ran = snakemake(root, TARGET)
    assert ran.returncode == 0, ran.stdout
    return root


@pytest.fixture
def copy(edited, tmp_path):
    return copy_of(edited, tmp_path / "copy")


def index(root, pool):
    return pd.concat(map(pd.read_parquet, sorted(root.glob(f"results/demo/sample/{pool}/shard-*.parquet"))))


def test_the_pools_reach_the_classifier(edited):
    manifest = pd.read_parquet(edited / "results/demo/subset/manifest.parquet").set_index("key")
    for pool in POOLS:
        rows = index(edited, pool)
        sources = manifest.loc[rows["source"]]
        assert (sources["split"] == "train").all() and (sources["class"].to_numpy() == rows["class"]).all()
        used = rows.groupby("class")["source"].value_counts()
        assert used.groupby("class").agg(lambda counts: counts.max() - counts.min()).max() <= 1
        assert (edited / f"results/demo/grid/{pool}.png").is_file()
    assert index(edited, "edited")["strength"].between(0.25, 0.75).all()
    assert "strength" not in index(edited, "varied") and "prompt" not in index(edited, "reimagined")
    scores = pd.concat(map(pd.read_parquet, edited.glob("results/demo/score/edited_by_clip/*.parquet")))
    selected = pd.read_parquet(edited / "results/demo/select/edited/selected.parquet")
    assert 0 < len(selected) < len(scores) == len(index(edited, "edited"))
    assert (edited / "results/demo/recipe/edited/summary.md").is_file()
    assert planned(edited, TARGET) == {}


def test_flagged_pictures_are_counted(edited):
    counts = [json.loads(path.read_text()) for path in edited.glob("results/demo/sample/edited/shard-*.json")]
    assert sum(one["flagged"] for one in counts) > 0 == sum(one["redrawn"] for one in counts)
    assert "pictures were flagged by the safety checker, and were drawn again" in "".join(
        path.read_text() for path in edited.glob("logs/sample/demo/edited/*.log")
    )


def test_every_module_that_its_jobs_load_is_in_their_fingerprints(edited):
    missed = modules_beside_fingerprints(edited)
    assert {"foundation", "plan", "sample", "score"} <= set(missed) and not any(missed.values())


@pytest.mark.parametrize("pool", POOLS)
def test_killed_in_the_middle_a_shard_has_the_same_bytes(copy, pool):
    expected = bytes_under(copy / "results")
    for path in copy.glob(f"results/demo/sample/{pool}/shard-00000.*"):
        path.unlink()
    shard = SHARD.replace("edited", pool)
    run = Run(copy, shard)
    assert run.wait_until(lambda: any(copy.glob(f"results/demo/sample/{pool}/checkpoints/*/*"))), run.told
    run.kill()
    snakemake(copy, "--unlock")
    again = snakemake(copy, shard)
    assert again.returncode == 0, again.stdout
    assert bytes_under(copy / "results") == expected


def test_only_what_follows_from_a_change_is_planned(copy):
    def jobs_after(**draw):
        text = (copy / "workflow_config.yaml").read_text()
        config = yaml.safe_load(text)
        config["pools"]["edited"]["draw"].update(draw)
        (copy / "workflow_config.yaml").write_text(yaml.safe_dump(config))
        jobs = {" ".join(job.split()[:2]).removesuffix(".png") for job in planned(copy, TARGET)}
        (copy / "workflow_config.yaml").write_text(text)
        return jobs

    drawn = {"sample edited", "grid edited", "score edited_by_clip", "select edited", "classifier edited"}
    drawn |= {"evaluate edited", "summary recipe"}
    assert jobs_after(guidance_scale=1.0) == drawn
    assert jobs_after(strength=0.5) == drawn | {"plan edited"}


def test_embeddings_are_verified_and_made_again(copy):
    told = snakemake(copy, "verify").stdout
    assert "0 damaged" in told and "embeddings/tiny_unclip" not in told, told
    path = copy / "results/demo/embeddings/tiny_unclip/embeddings.safetensors"
    before = path.read_bytes()
    path.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
    repair = f"{sys.executable} -m snakemake --profile local --allowed-rules {{stage}} --"
    repaired = stage(copy, "verify", "--results", "results", "--repair", repair)
    assert "embeddings.safetensors" in repaired.stdout and path.read_bytes() == before, repaired.stdout


def test_pictures_are_compared_from_the_same_noise(copy):
    for name, rows, columns in (("noise", 2 * 3, 3), ("dropped", 1 + 3, 4)):
        target = f"results/demo/comparison/{name}.png"
        ran = snakemake(copy, f"figure_{name}")
        assert ran.returncode == 0, ran.stdout
        width, height = Image.open(copy / target).size
        assert height == 44 + rows * 34 + 2 and width > columns * 34
        assert planned(copy, target) == {}
    missed = modules_beside_fingerprints(copy)
    assert "comparison" in missed and not any(missed.values())
    plans = [pd.read_parquet(path) for path in sorted(copy.glob("results/demo/plan/reimagined~*/plan.parquet"))]
    assert len(plans) == 6 + 3
    for plan in plans:
        assert plan["class_name"].isin(["zero", "three"]).all()
        drawn = plan[(plan["class_name"] == "three") & (plan["index"] == 0)][["seed", "source"]].to_numpy().tolist()
        assert drawn == plans[0][plans[0]["class_name"] == "three"][:1][["seed", "source"]].to_numpy().tolist()


def test_its_cost_is_estimated(copy):
    ran = snakemake(copy, "cost_demo")
    assert ran.returncode == 0, ran.stdout
    figures = pd.read_csv(copy / "results/demo/cost/throughput.csv")
    assert set(POOLS) <= set(figures.loc[figures["stage"] == "sample", "part"])
    assert figures.loc[figures["stage"] == "embeddings", "part"].tolist() == ["tiny_unclip"]
    jobs = pd.read_csv(copy / "results/demo/cost/cost.csv").set_index("stage")["jobs"]
    assert jobs["embeddings"] == 1


def test_a_model_without_a_safety_checker_or_of_another_class_is_refused(copy):
    shutil.rmtree(copy / "models")
    stable_diffusion(copy / "models/tiny")
    ran = snakemake(copy, "--force", "results/foundations/tiny/foundation.parquet")
    assert ran.returncode == 1 and "models/tiny has no safety checker; remove `safety_checker: true`" in ran.stdout
    stable_diffusion(copy / "models/variation")
    assert snakemake(copy, "--force", "results/foundations/tiny_variation/foundation.parquet").returncode == 0
    ran = snakemake(copy, SHARD.replace("edited", "varied"))
    assert ran.returncode == 1 and "Traceback" not in ran.stdout
    assert (
        "foundations.tiny_variation is a StableDiffusionPipeline, but a generator of kind image_variation draws"
        in ran.stdout
    )
