"""The whole workflow, small but real: what it makes and resumes, what it says to bad input, how stages start."""

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
import yaml
from PIL import Image
from workflow_helpers import (
    REPOSITORY,
    bytes_under,
    edit_json,
    make_copy,
    modules_beside_fingerprints,
    planned,
    set_option,
    snakemake,
    stage,
)

from pipeline.config.differences import published_tables

STAGES = sorted(path.stem for path in (REPOSITORY / "pipeline" / "stages").glob("[a-z]*.py"))
PUBLISHED = sorted(published_tables(REPOSITORY / "papers"))
RECIPES = {  # recipe of tests/micro.yaml -> its seeds
    "ce": {0, 1},
    "diffult": {0},
    "ce_long": {0},
    "two_stage": {0},
    "diffult_filters~filter.keep=all": {0},
    "diffult_filters~filter.keep=d3_ge_5e-7": {0},
}
ACCURACIES = {"top1", "many", "medium", "few", "medium_few", "medium_le20", "few_le20", "balanced", "best_test_top1"}
FACTS = {"steps", "real_pictures", "generated_pictures", "best_test_epoch"}
QUALITIES = {"fd_scorer", "is_scorer", "is_scorer_std", "quality_generated_pictures", "quality_real_pictures"}


@pytest.fixture(scope="session")
def commands(finished) -> dict[str, list[str]]:
    """Every job of the micro run, with the arguments of its stage."""
    return planned(finished, "--forceall", "--", "all_demo", "table_diffult_9")


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
    told = snakemake(REPOSITORY, "-n", "--forceall", "--quiet", "rules", "--", *(f"table_{name}" for name in PUBLISHED))
    assert told.returncode == 0, told.stdout
    assert all(f"table_{name} " in told.stdout for name in PUBLISHED)


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


# Bad input: one sentence that says what is wrong, where, and what is allowed


def assert_one_sentence(ran: subprocess.CompletedProcess, *words: str) -> None:
    """Failed, without a traceback, and with all words in one line."""
    assert ran.returncode != 0, ran.stdout
    assert "Traceback" not in ran.stdout, ran.stdout
    assert any(all(word in line for word in words) for line in ran.stdout.splitlines()), ran.stdout


def assert_stage_says(ran: subprocess.CompletedProcess, *words: str) -> None:
    """As above, and the error is all that the stage ends with."""
    assert_one_sentence(ran, "error: ", *words)
    assert ran.stdout.splitlines()[-1].startswith("error: "), ran.stdout
    assert ran.stdout.count("error: ") == 1, ran.stdout


BAD_CONFIGS = {
    "unknown key": ("generators/cbdm/step", 5, ["generators.cbdm: unknown key 'step'", "'steps'?", "allowed: ", "tau"]),
    "unknown section": ("generator", {}, ["unknown section 'generator'", "'generators'?", "allowed: ", "classifiers"]),
    "dangling extends": (
        "generators/quick",
        {"extends": "cbdn"},
        ["generators.quick: unknown extends 'cbdn'", "'cbdm'?", "allowed: cbdm"],
    ),
    "dangling name": (
        "scores/by_ce/scorer",
        "cee",
        ["scores.by_ce: unknown scorer 'cee'", "allowed: ce, ce_long, diffult"],
    ),
    "imbalance factor": (
        "datasets/demo/imbalance_factor",
        0.5,
        ["datasets.demo.imbalance_factor", "0.5", "greater than or equal to 1"],
    ),
    "metric that is not scored": ("filters/likely/keep", "d4 > 1", ["filters.likely", "d4 > 1", "d1, d2, d3"]),
    "wrong type": ("classifiers/ce/epochs", "many", ["classifiers.ce.epochs", "integer", "many"]),
}


@pytest.mark.parametrize(("path", "wrong", "words"), BAD_CONFIGS.values(), ids=BAD_CONFIGS)
def test_a_bad_config_is_told_before_any_job(tmp_path, path, wrong, words):
    root = make_copy(tmp_path / "copy")
    file = root / "workflow_config.yaml"
    whole = entry = yaml.safe_load(file.read_text())
    *parents, key = path.split("/")
    for parent in parents:
        entry = entry[parent]
    entry[key] = wrong
    file.write_text(yaml.safe_dump(whole))
    assert_one_sentence(snakemake(root, "all_demo"), "workflow_config.yaml", *words)
    assert not (root / "results").exists()


def test_an_own_config_may_be_empty_but_not_broken(tmp_path):
    root = make_copy(tmp_path / "copy")
    (root / "papers/demo").mkdir()
    own = (root / "workflow_config.yaml").rename(root / "papers/demo/recipes.yaml")
    own.write_text(own.read_text().replace("data_root: null", ""))
    (root / "workflow_config.yaml").write_text("# nothing yet\n")
    dry = snakemake(root, "-n", "results/demo/subset/pictures.parquet")
    assert dry.returncode == 0, dry.stdout
    (root / "workflow_config.yaml").write_text("recipes: {\n")
    assert_one_sentence(snakemake(root, "-n", "all_demo"), "workflow_config.yaml is not YAML: ", "line 2, column 1")


def test_a_file_for_one_run_is_merged_by_snakemakes_rule(tmp_path):
    """Mappings of another kind, too, as docs/config_guide.md says; ours would have the defaults of that kind."""
    root = make_copy(tmp_path / "copy")
    (root / "mine.yaml").write_text("pools: {cbdm: {draw: {kind: ddpm}}}\n")
    jobs = planned(root, "--configfile", "mine.yaml", "--", "results/demo/sample/cbdm/shard-00000.tar")
    given = jobs["sample cbdm shard-00000.tar"]
    draw = json.loads(given[given.index("--config") + 1])["draw"]
    assert (draw["kind"], draw["steps"], draw["clip_denoised"]) == ("ddpm", 4, True)


def test_files_in_the_place_of_folders_are_told_before_any_job(tmp_path):
    root = make_copy(tmp_path / "copy")
    (root / "results").touch()
    (root / "logs").symlink_to("/no/such/disk")
    told = snakemake(root, "results/demo/subset/pictures.parquet")
    for name in ("results", "logs"):
        assert_one_sentence(told, f"{name} must be a folder, but is a file or a broken link; move it away")


def test_a_family_without_a_main_recipe_is_told(tmp_path):
    root = make_copy(tmp_path / "copy")
    file = root / "workflow_config.yaml"
    file.write_text(file.read_text().replace("main: true", "main: false"))
    for target in ("all_demo", "results/demo/summary.md"):
        told = snakemake(root, "-n", target)
        assert_one_sentence(told, "error: ", "no recipe on demo is main; give one of them main: true")


def test_a_file_that_the_config_names_must_exist_though_what_needs_it_is_made(tmp_path):
    """Snakemake takes an output without its inputs for a file that somebody else made."""
    root = make_copy(tmp_path / "copy")
    file = root / "workflow_config.yaml"
    weights = "by_ce: {pool: cbdm, inception_weights: absent.pth, splits: 2}"
    file.write_text(file.read_text().replace("by_ce: {pool: cbdm, scorer: ce, splits: 2}", weights))
    made = [root / "results/demo" / name for name in ("quality/by_ce/quality.json", "cost/cost.md", "cost/cost.csv")]
    for path in made:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    told = snakemake(root, str(made[0].relative_to(root)))
    assert_one_sentence(
        told, "error: workflow_config.yaml: qualities.by_ce: inception_weights is 'absent.pth', but there"
    )
    told = snakemake(root, "--config", "throughput=absent.csv", "--", "cost_demo")
    assert_one_sentence(told, "error: ", "throughput is 'absent.csv', but there is no such file")


def summarised(folder: Path, **metrics: float) -> list[str]:
    """The summary's header of a run with these figures, and some that all runs have."""
    metrics = {"top1": 61.0, "balanced": 61.0, "real_pictures": 9, "generated_pictures": 0} | metrics
    about = {"seed": 0, "backbone": "small", "width": 4, "metrics": metrics}
    (folder / "metrics.json").write_text(json.dumps(about))
    run = {"recipe": "r", "dataset": "d", "metrics": [str(folder / "metrics.json")], "qualities": []}
    run |= {"seeds_of": "classifier", "sees_rest": ""}
    ran = stage(REPOSITORY, "summary", "--config", json.dumps({"runs": [run]}), "--output", folder)
    assert ran.returncode == 0, ran.stdout
    (header,) = (line for line in (folder / "summary.md").read_text().splitlines() if line.startswith("| recipe"))
    return [cell.strip() for cell in header.split("|")]


@pytest.mark.parametrize(("balanced", "shown"), [(61.02, False), (50.0, True)])
def test_the_summary_shows_the_mean_of_classes_where_the_test_split_is_uneven(balanced, shown, tmp_path, ascii_locale):
    assert ("mean of classes" in summarised(tmp_path, balanced=balanced)) == shown


def test_the_summary_shows_val_and_groups_where_there_are_some(tmp_path):
    more = {"worst group", "val top-1 %", "val worst group"}
    assert not more & set(summarised(tmp_path))
    assert more <= set(summarised(tmp_path, worst_group=5.0, val_top1=60.0, val_worst_group=4.0))


@pytest.fixture
def ascii_locale(monkeypatch):
    """An encoding other than UTF-8 for all that starts, as in a locale of Latin-1 or of an old cluster."""
    for name, value in {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}.items():
        monkeypatch.setenv(name, value)


def test_accents_are_kept_whatever_the_locale(tmp_path, ascii_locale):
    """Those of classes, of the folder that the config names, and of the words that stages write."""
    root = make_copy(tmp_path / "copy")
    for name in ("möwe", "Süßwasserkrebs"):
        folder = root / "data" / "Vögel" / name
        folder.mkdir(parents=True)
        for number in range(3):
            Image.fromarray(np.full((8, 8, 3), number, np.uint8)).save(folder / f"é{number}.png")
    config = root / "workflow_config.yaml"
    birds = "  birds: {source: image_folder, path: Vögel, test_per_class: 1}\n"
    config.write_text(config.read_text().replace("datasets:\n", f"datasets:\n{birds}"))
    ran = snakemake(root, "results/birds/subset/manifest.parquet")
    assert ran.returncode == 0, ran.stdout
    manifest = pd.read_parquet(root / "results/birds/subset/manifest.parquet")
    assert set(manifest["class_name"]) == {"möwe", "Süßwasserkrebs"}


def test_a_home_that_cannot_be_made_is_replaced(tmp_path, monkeypatch):
    """Snakemake keeps its cache elsewhere, and stages get a home of their own, for the caches of libraries."""
    root = make_copy(tmp_path / "copy")
    notes = "import os, pathlib\nhome = pathlib.Path.home()\nos.path.exists(home) and (home / 'seen').touch()\n"
    (root / "sitecustomize.py").write_text(notes)
    monkeypatch.setenv("HOME", "/proc/none")
    ran = snakemake(root, "results/demo/subset/pictures.parquet")
    assert ran.returncode == 0, ran.stdout
    assert (root / ".snakemake/home/seen").exists()


def test_a_published_table_that_names_no_recipe_of_ours_is_told(copy):
    file = copy / "papers/diffult/table_9.csv"
    file.write_text(file.read_text().replace("DiffuLT,demo,diffult,", "DiffuLT,demo,difult,"))
    told = snakemake(copy, "-n", "table_diffult_9")
    assert told.returncode != 0
    assert any(
        "diffult/table_9.csv" in line and "'difult'" in line and "ce_long" in line for line in told.stdout.splitlines()
    )


def test_an_imbalance_that_leaves_a_class_empty_is_told(copy, commands):
    before = bytes_under(copy / "results")
    arguments = edit_json(commands["subset pictures.parquet"], "--config", imbalance_factor=200)
    assert_stage_says(stage(copy, "subset", *arguments), "imbalance_factor 200", "at most 110")
    assert bytes_under(copy / "results") == before


def cifar100_folder(root: Path) -> Path:
    """An empty CIFAR-100: files of the right names, and of the right sizes but for what a test breaks."""
    folder = root / "cifar-100-binary"
    folder.mkdir(parents=True)
    (folder / "fine_label_names.txt").write_text("\n".join(f"class_{i}" for i in range(100)))
    for name, records in (("train.bin", 50_000), ("test.bin", 10_000)):
        with open(folder / name, "wb") as file:
            file.truncate(records * 3074)  # sparse: takes no room
    return folder


@pytest.mark.parametrize("broken", ["train.bin", "test.bin"])
def test_truncated_or_missing_raw_files_are_told(copy, commands, tmp_path, broken):
    folder = cifar100_folder(tmp_path / "raw")
    if broken == "train.bin":
        (folder / broken).write_bytes(bytes(1000))
        words = [str(folder / broken), "1000 bytes instead of 153700000"]
    else:
        (folder / broken).unlink()
        words = [f"{folder} lacks {broken}"]
    before = bytes_under(copy / "results")
    arguments = edit_json(commands["subset pictures.parquet"], "--config", source="cifar100", largest_class=None)
    arguments = set_option(arguments, "--raw", str(folder))
    arguments = arguments[: arguments.index("--code")] + arguments[arguments.index("--code") + 2 :]
    assert_stage_says(stage(copy, "subset", *arguments), *words, "https://www.cs.toronto.edu", "in the data root")
    assert bytes_under(copy / "results") == before


def test_a_damaged_generator_draws_nothing(copy, commands):
    weights = copy / "results/demo/generator/cbdm/unet/diffusion_pytorch_model.safetensors"
    damaged = bytearray(weights.read_bytes())
    damaged[-1] ^= 1  # which safetensors would load
    weights.write_bytes(damaged)
    before = bytes_under(copy / "results")
    ran = stage(copy, "sample", *commands["sample cbdm shard-00000.tar"])
    assert_stage_says(ran, str(weights.relative_to(copy)), "is missing or damaged; say `make repair`")
    assert bytes_under(copy / "results") == before


@pytest.mark.slow
def test_a_damaged_shard_is_told_and_remade_with_the_same_bytes(copy):
    before = bytes_under(copy / "results")
    shard, scores = (
        copy / f"results/demo/{name}" for name in ("sample/cbdm/shard-00000.tar", "score/by_ce/shard-00000.parquet")
    )
    row = pd.read_parquet(shard.with_suffix(".parquet")).iloc[3]
    damaged = bytearray(shard.read_bytes())
    damaged[row["offset"] + row["size"] // 2] ^= 1
    shard.write_bytes(damaged)
    wanted = str(scores.relative_to(copy))

    def changed() -> set[Path]:
        left = bytes_under(copy / "results")
        return {copy / "results" / name for name in before if left.get(name) != before[name]}

    ran = snakemake(copy, wanted)  # refused before the job, which would delete the scores
    assert_one_sentence(ran, "shard-00000.tar is damaged", "say `make repair`")
    assert changed() == {shard}

    scores.unlink()
    ran = snakemake(copy, wanted)  # the job itself finds the picture
    assert_one_sentence(ran, "error: ", "shard-00000.tar is damaged", row["key"], "say `make repair`")
    assert row["key"] in (copy / "logs/score/demo/by_ce/00000.log").read_text()
    assert changed() == {shard, scores}

    shard.unlink()
    ran = snakemake(copy, wanted)
    assert ran.returncode == 0, ran.stdout
    assert bytes_under(copy / "results") == before
    assert planned(copy, "all_demo") == {}


def test_a_loss_that_is_not_finite_is_told(copy, commands):
    before = bytes_under(copy / "results")
    arguments = edit_json(commands["generator cbdm"], "--config", learning_rate=1e30)
    ran = stage(copy, "generator", *arguments)
    assert_stage_says(ran, "loss is not a finite number at step ", "lower learning_rate", "last good checkpoint: ")
    assert bytes_under(copy / "results") == before


def test_edited_code_is_not_run_under_an_old_fingerprint(copy, commands):
    with open(copy / "pipeline/generators/plan.py", "a") as file:
        file.write("\nEDITED = True\n")
    before = bytes_under(copy / "results")
    ran = stage(copy, "plan", *commands["plan cbdm plan.parquet"])
    assert_stage_says(ran, "pipeline.stages.plan", "was edited after this run was planned", "start snakemake again")
    assert bytes_under(copy / "results") == before


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
    assert set(missed) == set(STAGES) - {
        "verify",
        "predict",
        "cost",
        "throughput",
        *(
            "classes",
            "fetch",
            "foundation",
            "ask",
            "prompts",
        ),  # those of test_text_to_image_workflow.py and test_prompts_workflow.py
    }  # the first two are part of no result
    assert not any(missed.values())
