"""What the workflow says to bad input: one sentence that says what is wrong, where, and what is allowed."""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import trees
import yaml
from PIL import Image
from workflow_helpers import (
    REPOSITORY,
    bytes_under,
    edit_json,
    make_copy,
    planned,
    set_option,
    snakemake,
    stage,
)


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


def test_a_repository_with_braces_in_its_path_is_told(tmp_path):
    root = make_copy(tmp_path / "a {b}")
    assert_one_sentence(
        snakemake(root, "-n"), "a {b} has braces in its path, which Snakemake takes for wildcards; rename"
    )


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
        assert_one_sentence(told, "error: ", "no recipe with `main: true` runs on demo; give one that does, or add one")


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
    metrics = {"top1": 61.0, "balanced": 61.0, "real_pictures": 9, "generated_pictures": 0, "steps": 5} | metrics
    about = {"seed": 0, "network": "small, width 4", "metrics": metrics}
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


def test_what_the_users_own_pictures_lack_is_told_before_any_job(tmp_path):
    """A folder says only when it is read whether it has a validation split; a table, whether it has groups."""
    pictures = {
        f"{label}/{i}.png": trees.picture(10 * len(label) + i, 8, "PNG") for label in ("ant", "bee") for i in range(6)
    }
    root = make_copy(tmp_path / "copy")
    trees.put(
        root / "data/mine", {f"{split}/{name}": one for split in ("train", "test") for name, one in pictures.items()}
    )
    rows = [f"{split}/{name},{name[:3]},{split}" for split in ("train", "test") for name in pictures]
    (root / "data/mine/t.csv").write_text("\n".join(["path,class,split", *rows]) + "\n")
    config = yaml.safe_load((root / "workflow_config.yaml").read_text())
    config["datasets"] |= {"mine": {"source": "image_folder", "path": "mine"}}
    config["datasets"]["held_out"] = {"source": "image_folder", "path": "mine", "table": "t.csv", "val_share": 0.3}
    config["datasets"]["listed"] = {"source": "image_folder", "path": "mine", "table": "t.csv"}
    config["classifiers"] |= {
        "chosen": {"extends": "ce", "select_by": "val_top1"},
        "grouped": {"extends": "ce", "scheme": "group_dro"},
    }
    config["recipes"] |= {
        "chosen": {"classifiers": ["ce", "chosen"], "datasets": ["mine"]},
        "grouped": {"classifiers": ["ce", "grouped"], "datasets": ["listed"]},
        "grouped_too": {"classifiers": ["ce", "grouped"], "datasets": ["held_out"]},
    }
    (root / "workflow_config.yaml").write_text(yaml.safe_dump(config))
    told = {
        "recipe_chosen": "classifiers.chosen on mine: select_by is val_top1, but the data set has no validation split;"
        " give the data set a val_share, or set select_by: last",
        "recipe_grouped_too": "classifiers.grouped on held_out: scheme: group_dro needs groups, but the data set has none",
        "recipe_grouped": "classifiers.grouped on listed: scheme: group_dro needs groups, but the data set has none",
    }
    for target, sentence in told.items():
        assert_one_sentence(snakemake(root, target), sentence)
        assert not (root / "results").exists()
    subsets = [f"results/{name}/subset/pictures.parquet" for name in ("mine", "listed", "held_out")]
    assert snakemake(root, *subsets).returncode == 0
    shutil.rmtree(root / "data/mine/test")  # a subset that is there says it as well
    for target, sentence in told.items():
        assert_one_sentence(snakemake(root, target), sentence)


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
