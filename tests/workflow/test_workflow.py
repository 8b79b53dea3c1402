"""The whole workflow, small but real: what it makes and resumes, and how stages start."""

import io
import itertools
import json
import re
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from workflow_helpers import (
    REPOSITORY,
    bytes_under,
    modules_beside_fingerprints,
    set_option,
    snakemake,
    stage,
)

from pipeline.config.differences import published_tables

STAGES = sorted(path.stem for path in (REPOSITORY / "pipeline" / "stages").glob("[a-z]*.py"))
NEED_WEIGHTS = {"fill_up_4", "fill_up_a9", "ldm_fg_2", "ldm_fg_3", "ldm_fg_6", "ldm_fg_7"}
TABLES = sorted(published_tables(REPOSITORY / "papers").keys() - NEED_WEIGHTS)
PUBLISHED = [f"figure_{name.replace('_figure_', '_')}" if "_figure_" in name else f"table_{name}" for name in TABLES]
"""Targets of published tables and figures."""
RECIPES = {  # recipe of tests/micro.yaml -> its seeds
    "ce": {0, 1},
    "diffult": {0},
    "ce_long": {0},
    "two_stage": {0},
    "diffult_filters~filter.keep=all": {0},
    "diffult_filters~filter.keep=d3_ge_5e-7": {0},
}
ACCURACIES = {
    "top5",
    "top1",
    "many",
    "medium",
    "few",
    "medium_few",
    "medium_le20",
    "few_le20",
    "balanced",
    "best_test_top1",
}
FACTS = {"steps", "real_pictures", "generated_pictures", "kept_epoch", "best_test_epoch"}
QUALITIES = {
    "fd_scorer",
    "is_scorer",
    "is_scorer_std",
    "precision_scorer",
    "recall_scorer",
    "density_scorer",
    "coverage_scorer",
    "quality_generated_pictures",
    "quality_real_pictures",
}


@pytest.fixture(scope="session")
def results(finished) -> pd.DataFrame:
    return pd.read_csv(finished / "results/demo/results.csv")


def value(results: pd.DataFrame, recipe: str, metric: str, seed: int = 0) -> float:
    found = results.query("recipe == @recipe and metric == @metric and seed == @seed")["value"]
    assert len(found) == 1, (recipe, metric, seed)
    return found.item()


def pictures_of(shard: Path) -> dict[str, bytes]:
    """Key -> picture's bytes, as a program that knows nothing of the index reads the tar."""
    with tarfile.open(shard) as tar:
        return {Path(member.name).stem: tar.extractfile(member).read() for member in tar if ".json" not in member.name}


# What a run makes


def test_results_have_a_row_for_every_recipe_seed_and_metric(results):
    assert list(results.columns) == ["dataset", "recipe", "sees_rest", "network", "seed", "metric", "value"]
    assert results["sees_rest"].isna().all()
    assert set(results["dataset"]) == {"demo"}
    assert {recipe: set(group["seed"]) for recipe, group in results.groupby("recipe")} == RECIPES
    assert not results.duplicated(["recipe", "seed", "metric"]).any()
    for (recipe, seed), group in results.groupby(["recipe", "seed"]):
        assert set(group["metric"]) == ACCURACIES | FACTS | (QUALITIES if recipe == "diffult" else set()), (
            recipe,
            seed,
        )
    assert results.loc[results["metric"].isin(ACCURACIES), "value"].between(0, 100).all()
    assert np.isfinite(results["value"]).all()


def test_results_count_what_was_trained_on(finished, results):
    selection = json.loads((finished / "results/demo/select/likely/summary.json").read_text())
    manifest = pd.read_parquet(finished / "results/demo/subset/manifest.parquet")
    real = (manifest["split"] == "train").sum()
    assert all(value(results, recipe, "real_pictures") == real for recipe in RECIPES)
    assert value(results, "diffult", "generated_pictures") == selection["kept"] > 0
    assert value(results, "diffult_filters~filter.keep=all", "generated_pictures") == selection["generated"]
    assert value(results, "ce", "generated_pictures") == value(results, "ce_long", "generated_pictures") == 0
    assert value(results, "diffult", "quality_generated_pictures") == selection["generated"]
    assert value(results, "diffult", "quality_real_pictures") == 10 * 120
    # the control has as many steps as the method, and more than the baseline
    assert value(results, "ce_long", "steps") == value(results, "diffult", "steps") > value(results, "ce", "steps")


def test_a_varied_value_that_is_the_parts_own_shares_its_artifacts(finished, results):
    assert {path.name for path in (finished / "results/demo/classifier").iterdir()} == {
        "ce",
        "ce_long",
        "diffult",
        "diffult~filter.keep=all",
        "two_stage",
    }
    same = [value(results, recipe, "top1") for recipe in ("diffult", "diffult_filters~filter.keep=d3_ge_5e-7")]
    assert same[0] == same[1]


def test_a_recipe_that_is_not_main_has_a_target_of_its_own(copy, results):
    """Its results are gathered from what is there, apart from the summary of the main ones."""
    config = copy / "workflow_config.yaml"
    config.write_text(config.read_text().replace("diffult_filters: {", "diffult_filters: {main: false, "))
    before = bytes_under(copy / "results")
    ran = snakemake(copy, "recipe_diffult_filters")
    assert ran.returncode == 0, ran.stdout
    own = "demo/recipe/diffult_filters/"
    assert bytes_under(copy / "results").keys() - before.keys() == {f"{own}results.csv", f"{own}summary.md"}
    found = pd.read_csv(copy / "results" / own / "results.csv")
    wanted = results[results["recipe"].str.startswith("diffult_filters")]
    pd.testing.assert_frame_equal(found, wanted.reset_index(drop=True))


def test_the_summary_mentions_every_recipe(finished, results):
    lines = (finished / "results/demo/summary.md").read_text().splitlines()
    cells = {
        line.split("|")[1].strip(): [cell.strip() for cell in line.split("|")[1:-1]] for line in lines if "|" in line
    }
    assert set(RECIPES) < set(cells)
    header = cells["recipe"]
    for recipe, seeds in RECIPES.items():
        found = dict(zip(header, cells[recipe], strict=True))
        assert found["seeds"] == str(len(seeds))
        mean = np.mean([value(results, recipe, "top1", seed) for seed in seeds])
        assert found["top-1 %"].split(" ")[0] == f"{mean:.1f}"
        assert ("±" in found["top-1 %"]) == (len(seeds) > 1)
        assert (found["FD under the scorer"] == "–") == (recipe != "diffult")


def test_predictions_hold_what_the_metrics_say(finished, results):
    folder = finished / "results/demo/evaluate/diffult/seed-0"
    predictions = pd.read_parquet(folder / "predictions.parquet")
    about = ["key", "file", "split", "group", "class", "class_name"]
    assert list(predictions.columns) == [*about, "predicted", "predicted_name", "probability", "top_probability"]
    manifest = pd.read_parquet(finished / "results/demo/subset/manifest.parquet")
    test = manifest[manifest["split"] == "test"]
    assert predictions["key"].tolist() == test["key"].tolist()
    assert predictions["class"].tolist() == test["class"].tolist()
    assert predictions["file"].tolist() == test["source"].tolist() and set(predictions["split"]) == {"test"}
    assert predictions["probability"].between(0, 1).all()
    right = predictions["class"] == predictions["predicted"]
    assert 100 * right.mean() == pytest.approx(value(results, "diffult", "top1"))
    counts = manifest[manifest["split"] == "train"]["class"].value_counts()
    few = predictions["class"].map(counts) < 20
    assert 100 * right[few].mean() == pytest.approx(value(results, "diffult", "few"))
    by_class = pd.read_csv(folder / "per_class.csv").set_index("class")
    assert by_class["train_pictures"].to_dict() == counts.to_dict()
    assert by_class["accuracy"].to_numpy() == pytest.approx(100 * right.groupby(predictions["class"]).mean().to_numpy())


def test_predict_on_stored_test_pictures_says_what_evaluate_says(finished, tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for key, data in pictures_of(finished / "results/demo/subset/real/shard-00000.tar").items():
        (folder / f"{key}.png").write_bytes(data)
    weights = finished / "results/demo/classifier/diffult/seed-0/weights.safetensors"
    ran = stage(REPOSITORY, "predict", "--weights", weights, "--output", tmp_path / "predictions.csv", folder)
    assert ran.returncode == 0, ran.stdout
    found = pd.read_csv(tmp_path / "predictions.csv", dtype={"class": str}).set_index("file")
    told = pd.read_parquet(finished / "results/demo/evaluate/diffult/seed-0/predictions.parquet")
    found = found.loc[[f"{folder}/{key}.png" for key in told["key"]]]
    assert found["class"].tolist() == told["predicted_name"].tolist()
    assert found["probability"].tolist() == told["top_probability"].round(6).tolist()


def test_shards_index_and_statistics_agree_with_the_plan(finished):
    plan = pd.read_parquet(finished / "results/demo/plan/cbdm/plan.parquet")
    folder = finished / "results/demo/sample/cbdm"
    assert {path.name for path in folder.iterdir() if path.is_file()} == {
        f"shard-0000{shard}.{suffix}" for shard in (0, 1) for suffix in ("tar", "parquet", "json")
    }
    indices = []
    for shard in (0, 1):
        index = pd.read_parquet(folder / f"shard-0000{shard}.parquet")
        statistics = json.loads((folder / f"shard-0000{shard}.json").read_text())
        pictures = pictures_of(folder / f"shard-0000{shard}.tar")
        assert list(pictures) == index["key"].tolist()
        assert statistics == {
            "pictures": len(index),
            "classes": index["class"].astype(str).value_counts(sort=False).to_dict(),
            "redrawn": 0,
            "flagged": 0,
        }
        whole = (folder / f"shard-0000{shard}.tar").read_bytes()
        for row in index.itertuples():
            assert whole[row.offset : row.offset + row.size] == pictures[row.key]
            assert Image.open(io.BytesIO(pictures[row.key])).size == (8, 8)
        indices.append(index)
    both = pd.concat(indices, ignore_index=True)
    pd.testing.assert_frame_equal(both[["class", "class_name", "index", "seed"]], plan, check_dtype=False)
    assert len(set(both["key"])) == len(plan)


def test_the_grid_has_a_row_for_every_class(finished):
    picture = np.asarray(Image.open(finished / "results/demo/grid/cbdm.png").convert("L"))
    covered = (picture < 250).mean(axis=1) > 0.25
    bands = [list(rows) for covers, rows in itertools.groupby(range(len(covered)), covered.__getitem__) if covers]
    bands = [band for band in bands if len(band) > 20]  # pictures, and not the title
    assert len(bands) == 10
    counts = pd.read_parquet(finished / "results/demo/plan/cbdm/plan.parquet")["class"].value_counts()
    for label, band in enumerate(bands):
        generated = picture[band, -150:]  # inside the right half, whose pictures fill from the left
        shown = min(counts.get(label, 0), 8)
        assert ((generated < 250).mean() > 0.5) == (shown == 8), label


def test_a_second_run_has_nothing_to_do(copy):
    again = snakemake(copy, "all_demo")
    assert again.returncode == 0
    assert "Nothing to be done" in again.stdout


@pytest.mark.nightly
def test_the_number_of_shards_does_not_change_pictures(finished, commands, tmp_path):
    made = {}
    for shard in range(3):
        output = tmp_path / f"shard-{shard}.tar"
        arguments = set_option(commands["sample cbdm shard-00000.tar"], "--output", str(output))
        ran = stage(finished, "sample", *set_option(arguments, "--shard", f"{shard} of 3"))
        assert ran.returncode == 0, ran.stdout
        made |= pictures_of(output)
    folder = finished / "results/demo/sample/cbdm"
    assert made == pictures_of(folder / "shard-00000.tar") | pictures_of(folder / "shard-00001.tar")


# Tables


def test_a_table_puts_published_and_measured_side_by_side(finished, results):
    table = pd.read_csv(finished / "results/tables/diffult_9.csv").set_index(["row", "metric"])
    published = pd.read_csv(finished / "papers/diffult/table_9.csv").set_index(["row", "metric"])
    pd.testing.assert_series_equal(table["published"], published["published"])
    top1 = [value(results, "ce", "top1", seed) for seed in (0, 1)]
    assert table.loc[("CE", "top1"), "measured"] == pytest.approx(np.mean(top1))
    assert table.loc[("CE", "top1"), "deviation"] == pytest.approx(np.std(top1, ddof=1))
    assert table.loc[("CE", "top1"), "seeds"] == 2
    assert table.loc[("DiffuLT", "top1"), "measured"] == pytest.approx(value(results, "diffult", "top1"))
    assert table.loc[("DiffuLT", "fd_scorer"), "measured"] == pytest.approx(value(results, "diffult", "fd_scorer"))
    assert table["measured"].isna().to_dict() == {row: row[0] == "another method" for row in table.index}
    markdown = (finished / "results/tables/diffult_9.md").read_text().splitlines()
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in markdown if line.startswith("| CE")]
    assert cells[0][:5] == ["CE", "demo", "top1", "38.3", f"{np.mean(top1):.2f} ± {np.std(top1, ddof=1):.2f}"]


def test_a_table_says_what_differs_from_the_paper(finished):
    differs = pd.read_csv(finished / "results/tables/diffult_9.csv").set_index(["row", "metric"])["differs"]
    assert differs["CE", "top1"] == "classifier.epochs 2 (200)"  # no generator, and no setting of another family
    assert differs["DiffuLT", "top1"].split("; ") == [
        "generator.steps 6 (300000)",
        "classifier.epochs 2 (200)",
        'filter.keep "d3 >= 5e-7" ("all")',
    ]
    assert "filter.keep" not in differs["all kept", "few"], "what a recipe varies differs by intent"
    assert "generator.steps 6 (300000)" in differs["all kept", "few"]
    assert "classifier.momentum 0.9 (0.5)" in differs["all kept", "few"]


@pytest.mark.slow
def test_every_published_table_can_be_planned():
    told = snakemake(REPOSITORY, "-n", "--forceall", "--quiet", "rules", "--", *PUBLISHED)
    assert told.returncode == 0, told.stdout
    assert all(f"{name} " in told.stdout for name in PUBLISHED)


@pytest.mark.slow
def test_saus_tables_stand_on_the_pictures_that_can_be_had(tmp_path):
    def planned_by(*arguments):
        tables = [f"table_sau_{number}" for number in (1, 2, 3, 4)]
        told = snakemake(REPOSITORY, "-n", "--forceall", "--quiet", "rules", *arguments, "--", *tables)
        assert told.returncode == 0, told.stdout
        return {rule: int(count) for rule, count in re.findall(r"^(\w+) +(\d+)$", told.stdout, re.MULTILINE)}

    jobs = planned_by()
    assert jobs["generator"] == 9 and "foundation" not in jobs and "score" not in jobs
    files = {key: str(tmp_path / key) for key in ("base", "upsampler", "vocabulary")}
    for path in files.values():
        Path(path).touch()
    other = planned_by("--config", f"foundations={json.dumps({'glide': files})}")
    assert other["foundation"] == 2 and "generator" not in other
    assert other["sample"] == 16 + 16 + 832, "one pool for each source"
    assert all(other[stage] == jobs[stage] for stage in ("classifier", "evaluate", "tables"))


# The repository as it is


@pytest.mark.parametrize("profile", ["local", "slurm"])
def test_the_promised_commands_work_from_the_root(profile):
    told = snakemake(
        REPOSITORY, "-n", "--forceall", "--quiet", "rules", "--", "all_demo", "all_cifar100_lt", profile=profile
    )
    assert told.returncode == 0, told.stdout
    assert "classifier" in told.stdout


def test_lint_is_clean():
    told = snakemake(REPOSITORY, "--lint")
    assert told.returncode == 0, told.stdout
    assert "Congratulations" in told.stdout


# Stages as command lines

STARTED = """
import runpy, sys
sys.argv = [sys.argv[1], "--help"]
try:
    runpy.run_module(f"pipeline.stages.{sys.argv[0]}", run_name="__main__")
except SystemExit as ended:
    assert not ended.code, ended.code
print("loaded:", *(name for name in ("torch", "torchvision", "diffusers", "snakemake") if name in sys.modules))
"""


@pytest.mark.parametrize("name", STAGES)
def test_help_loads_nothing_heavy_and_is_complete(name):
    ran = subprocess.run(
        [sys.executable, "-c", STARTED, name], cwd=REPOSITORY, text=True, capture_output=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines()[-1].strip() == "loaded:"
    assert f"python -m pipeline.stages.{name} " in ran.stdout, "the docstring shows the exact command"
    assert name == "verify" or ("--code JSON" in ran.stdout and "--output" in ran.stdout)  # which makes nothing


def test_every_module_that_a_job_loads_is_in_its_fingerprint(finished):
    missed = modules_beside_fingerprints(finished)
    of_no_result, of_other_files = {"verify", "predict", "cost", "throughput"}, {
        "classes", "fetch", "foundation", "ask", "prompts", "adapt", "states", "figures", "search", "copies", "embeddings",
        "comparison", "times",
    }  # fmt: skip
    assert set(missed) == set(STAGES) - of_no_result - of_other_files
    assert not any(missed.values())
