"""Fill-Up: vectors are learned in shards, a pool is drawn with all that were kept, and a classifier trains in two stages."""

import pandas as pd
import pytest
from PIL import Image
from runs import Run
from tiny_models import clip, stable_diffusion
from workflow_helpers import bytes_under, copy_of, copy_with, modules_beside_fingerprints, planned, snakemake, stage

pytestmark = pytest.mark.slow

ADDED = {
    "foundations": {
        "tiny": {"kind": "folder", "path": "models/tiny"},
        "tiny_clip": {"kind": "folder", "path": "models/clip"},
    },
    "prompts": {
        "learned": {"kind": "templates", "templates": ["a photo of a *"]},
        "named": {"kind": "templates"},
    },
    "generators": {
        "inverted": {
            "kind": "textual_inversion",
            "foundation": "tiny",
            "steps_per_picture": 1,
            "least_steps": 4,
            "most_steps": 12,
            "checkpoint_steps": 4,
            "shards": 2,
            "classes_at_once": 3,
        },
        "lora": {"kind": "lora", "foundation": "tiny", "rank": 2, "steps": 2, "shards": 2},
    },
    "pools": {
        "inverted": {
            "generator": "inverted",
            "prompts": "learned",
            "draw": {"kind": "textual_inversion", "steps": 2},
            "store": {"side": 8},
            "fill_to": 30,
            "batch_size": 8,
            "shards": 2,
        },
        "lora": {
            "extends": "inverted",
            "generator": "lora",
            "prompts": "named",
            "draw": {"kind": "text_to_image", "steps": 2, "guidance_scale": 1.0},
        },
    },
    "filters": {"inverted": {"pool": "inverted"}, "lora": {"pool": "lora"}},
    "classifiers": {
        "stage_1": {"extends": "ce", "data": ["real", "inverted"], "loss": "balanced_softmax"},
        "lora": {"extends": "ce", "data": ["real", "lora"]},
        "stage_2": {"extends": "ce", "init": "stage_1", "loss": "balanced_softmax", "learning_rate": 0.001},
        "lift": {
            "extends": "ce",
            "backbone": "clip",
            "width": None,
            "foundation": "tiny_clip",
            "tuning": "adaptformer",
            "head_text": "a photo of a {class}.",
            "loss": "logit_adjustment",
            "side": 32,
            "mean": [0.5, 0.5, 0.5],
            "std": [0.25, 0.25, 0.25],
        },
        "probe": {"extends": "lift", "tuning": "head", "head_text": None},
    },
    "recipes": {
        "fill_up": {
            "classifiers": ["stage_1", "stage_2", "lora", "lift", "probe"],
            "datasets": ["demo"],
            "seeds": [0],
            "main": True,
        }
    },
}
TARGET = "recipe_fill_up"
SHARD = "results/demo/adapt/inverted/shard-00000.parquet"


@pytest.fixture(scope="module")
def filled(finished, tmp_path_factory):
    root = copy_with(finished, tmp_path_factory.mktemp("fill_up") / "micro", ADDED)
    stable_diffusion(root / "models/tiny")
    clip(root / "models/clip")
    ran = snakemake(root, TARGET)
    assert ran.returncode == 0, ran.stdout
    return root


@pytest.fixture
def copy(filled, tmp_path):
    return copy_of(filled, tmp_path / "copy")


def changed(root, old, new):
    config = (root / "workflow_config.yaml").read_text()
    assert old in config
    (root / "workflow_config.yaml").write_text(config.replace(old, new))


def test_the_vectors_reach_the_classifier(filled):
    kept = pd.read_parquet(filled / "results/demo/adapt/inverted/states.parquet")
    counts = pd.read_parquet(filled / "results/demo/subset/manifest.parquet").query("split == 'train'")["class"]
    for label, count in counts.value_counts().items():
        steps = min(max(count, 4), 12)
        assert kept.loc[kept["class"] == label, "step"].tolist() == sorted({*range(4, steps + 1, 4), steps})
    index = pd.concat(pd.read_parquet(path) for path in sorted(filled.glob("results/demo/sample/inverted/*.parquet")))
    for label, own in index.groupby("class"):
        used = own["checkpoint"].value_counts().reindex(kept.loc[kept["class"] == label, "step"])
        assert used.max() - used.min() <= 1
    assert set(index["generator"]) == {"results/demo/adapt/inverted"} and set(index["prompt"]) == {"a photo of a *"}
    drawn = pd.concat(pd.read_parquet(path) for path in sorted(filled.glob("results/demo/sample/lora/*.parquet")))
    assert set(drawn["generator"]) == {"results/demo/adapt/lora"} and len(drawn) == len(index)
    results = pd.read_csv(filled / "results/demo/recipe/fill_up/results.csv")
    assert {"stage_1", "stage_2", "lora"} <= set(results["recipe"])
    assert planned(filled, TARGET) == {}


def test_every_module_that_its_jobs_load_is_in_their_fingerprints(filled):
    missed = modules_beside_fingerprints(filled)
    assert {"adapt", "states", "plan", "sample"} <= set(missed)
    assert not any(missed.values())


def test_classifiers_start_from_a_clip(filled):
    results = pd.read_csv(filled / "results/demo/recipe/fill_up/results.csv")
    networks = results.drop_duplicates("recipe").set_index("recipe")["network"]
    assert networks["lift"] == "clip, width 32, pretrained, adaptformer trained"
    assert networks["probe"] == "clip, width 32, pretrained, head trained"
    shown = filled / "shown.png"
    Image.new("RGB", (11, 9), (200, 200, 200)).save(shown)
    weights = filled / "results/demo/classifier/lift/seed-0/weights.safetensors"
    ran = stage(filled, "predict", "--weights", weights, "--output", filled / "shown.csv", shown)
    assert ran.returncode == 0, ran.stdout
    assert len(pd.read_csv(filled / "shown.csv")) == 1


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "0.25\n    - 0.25\n    - 0.25",
            "0.2\n    - 0.2\n    - 0.2",
            "models/clip sees pictures otherwise; set `std: [0.25, 0.25, 0.25]`",
        ),
        (
            "side: 32",
            "side: 16",
            "models/clip sees pictures otherwise; set `side: 32`, because the pictures have 16 x 16 px",
        ),
        ("path: models/clip", "path: models/tiny", "models/tiny has no open_clip_config.json, so it is no CLIP"),
    ],
)
def test_a_clip_that_does_not_fit_is_told_before_the_first_job(copy, old, new, message):
    changed(copy, old, new)
    ran = snakemake(copy, "results/demo/classifier/lift/seed-0/history.parquet")
    assert ran.returncode == 1 and f"classifiers.lift: {message}" in ran.stdout, ran.stdout
    assert "rule " not in ran.stdout


def test_killed_in_the_middle_a_shard_has_the_same_bytes(copy):
    expected = bytes_under(copy / "results")
    (copy / SHARD).unlink()
    for path in (copy / SHARD).with_suffix("").iterdir():
        path.unlink()
    run = Run(copy, SHARD, "--config", "checkpoint_minutes=0")
    assert run.wait_until(lambda: any(copy.glob("results/demo/adapt/inverted/checkpoints/*/last.pt"))), run.told
    run.kill()
    snakemake(copy, "--unlock")
    again = snakemake(copy, SHARD)
    assert again.returncode == 0, again.stdout
    assert bytes_under(copy / "results") == expected


def test_only_what_follows_from_a_change_is_planned(copy):
    drawn = {"sample inverted", "grid inverted", "select inverted", "classifier stage_1", "classifier stage_2"}
    reported = {"evaluate stage_1", "evaluate stage_2", "summary recipe"}
    config = (copy / "workflow_config.yaml").read_text()

    def jobs_after(old, new):
        changed(copy, old, new)
        jobs = {" ".join(job.split()[:2]).removesuffix(".png") for job in planned(copy, TARGET)}
        (copy / "workflow_config.yaml").write_text(config)
        return jobs

    planned_again = {"plan inverted", *drawn, *reported}
    assert jobs_after("least_steps: 4", "least_steps: 8") == {"adapt inverted", "states adapt", *planned_again}
    assert (
        jobs_after(
            "kind: textual_inversion\n      steps", "checkpoints: last\n      kind: textual_inversion\n      steps"
        )
        == planned_again
    )
    assert jobs_after("a photo of a *", "a picture of a *") == {"prompts learned", *planned_again}
    assert jobs_after("learning_rate: 0.001", "learning_rate: 0.002") == {
        "classifier stage_2",
        "evaluate stage_2",
        "summary recipe",
    }


def test_damaged_vectors_are_found_and_not_trained_again_by_a_repair(copy):
    path = next(iter(sorted((copy / SHARD).with_suffix("").iterdir())))
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    ran = snakemake(copy, "verify")
    assert ran.returncode == 1 and f"{path.relative_to(copy)}: its bytes differ" in ran.stdout, ran.stdout


def test_other_shards_leave_no_files_behind_that_no_table_knows(copy):
    before = pd.read_parquet(copy / "results/demo/adapt/inverted/states.parquet")
    changed(copy, "shards: 2\n    steps_per_picture", "shards: 3\n    steps_per_picture")
    made = snakemake(copy, "results/demo/adapt/inverted/states.parquet")
    assert made.returncode == 0, made.stdout
    after = pd.read_parquet(copy / "results/demo/adapt/inverted/states.parquet")
    pd.testing.assert_frame_equal(after.drop(columns=["folder", "loss"]), before.drop(columns=["folder", "loss"]))
    assert after["folder"].nunique() == 3
    verified = snakemake(copy, "verify")
    assert verified.returncode == 0 and "0 damaged" in verified.stdout, verified.stdout


def test_a_sweep_is_plotted(copy):
    rows = [
        ("stage", "Fill-Up", number, f"stage {number}", "demo", f"stage_{number}", "top1", 50.0, "")
        for number in (1, 2)
    ]
    columns = ["panel", "series", "x", "row", "dataset", "recipe", "metric", "published", "note"]
    pd.DataFrame(rows, columns=columns).to_csv(copy / "papers/diffult/figure_8.csv", index=False)
    made = snakemake(copy, "figure_diffult_8")
    assert made.returncode == 0, made.stdout
    table = pd.read_csv(copy / "results/tables/diffult_figure_8.csv")
    assert table["x"].tolist() == [1, 2] and table["measured"].between(0, 100).all()
    assert (copy / "results/figures/diffult_figure_8.png").stat().st_size > 1000
    assert not any(modules_beside_fingerprints(copy).values())


def test_a_training_of_another_stage_is_refused(copy):
    ran = snakemake(copy, "-n", "results/demo/generator/inverted/history.parquet")
    assert ran.returncode == 1
    assert "generators.inverted is trained by the stage adapt, so the stage generator makes nothing of it" in ran.stdout


@pytest.mark.nightly
def test_its_cost_is_estimated(copy):
    ran = snakemake(copy, "cost_demo")
    assert ran.returncode == 0, ran.stdout
    page = (copy / "results/demo/cost/cost.md").read_text()
    assert (
        "inverted learns in 95 steps, each of one class." in page
        and "lora learns in 20 steps" in page
        and "| adapt " in page
    )
