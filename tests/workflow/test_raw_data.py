"""Raw data that change, and data that cannot be read: what a run says of them, and that the commands it names work."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import trees
import yaml
from workflow_helpers import REPOSITORY, copy_of, environment, make_copy, planned, repetitions, snakemake

from pipeline.artifacts import shards

CONFIG = """
data_root: raw
datasets:
  birds: {source: image_folder, path: birds, folds: 2}
classifiers:
  ce: {data: [real], side: 16, backbone: small, width: 8, epochs: 1, batch_size: 32, learning_rate: 0.05, warmup_epochs: 0}
recipes:
  ce: {classifier: ce, datasets: [birds], main: true, vary: {dataset.fold: [0, 1]}}
"""
SPECIES = {"owl": 14, "robin": 8, "wren": 6}
WARNING = r"^warning: (raw data of .*); to take the change: snakemake (.*)$"
MANIFEST = "results/birds/subset/manifest.parquet"
METRICS = "results/birds/evaluate/ce/seed-0/metrics.json"


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A copy of the workflow with a data set of three species in two folds."""
    root = make_copy(tmp_path_factory.mktemp("raw") / "copy")
    (root / "workflow_config.yaml").write_text(CONFIG)
    files = {f"birds/{name}/{i}.jpg": trees.picture(i, side=20) for name, n in SPECIES.items() for i in range(n)}
    trees.put(root / "raw", files)
    return root


def command(told: str, pattern: str) -> list[str]:
    """Arguments of snakemake in a command that a run has named."""
    (line,) = re.findall(pattern, told, re.MULTILINE)
    arguments = shlex.split(line)
    assert arguments[:2] == ["--profile", "local"]
    return arguments[2:]


@pytest.mark.slow
@pytest.mark.parametrize("removed", ["subset", *repetitions(("subset/pictures.parquet",))])
def test_a_removed_subset_is_told_and_made_again_by_the_repair_that_is_named(root, tmp_path, removed):
    root = copy_of(root, tmp_path / "copy")
    made = snakemake(root, METRICS)
    assert made.returncode == 0 and "warning: " not in made.stdout, made.stdout
    trees.put(root / "raw", {f"birds/wren/{i}.jpg": trees.picture(i, side=20) for i in (98, 99)})
    gone = root / "results/birds" / removed
    shutil.rmtree(gone) if gone.is_dir() else gone.unlink()
    told = snakemake(root, METRICS)
    assert told.returncode == 0 and "Nothing to be done" in told.stdout, told.stdout
    warning = "pictures.parquet is missing, so a change of the raw data of birds would not be noticed; say make repair"
    assert f"warning: results/birds/subset/{warning}" in told.stdout
    shutil.copy2(REPOSITORY / "Makefile", root)
    repaired = subprocess.run(
        ["make", "repair", f"BIN={Path(sys.executable).parent}", "--assume-old=setup"], cwd=root, env=environment(root), text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False,
    )  # fmt: skip
    assert repaired.returncode == 0, repaired.stdout
    assert "classifier ce seed-0" in planned(root, METRICS)
    assert snakemake(root, MANIFEST).returncode == 0
    assert any(source.endswith("wren/98.jpg") for source in pd.read_parquet(root / MANIFEST)["source"])


@pytest.mark.nightly
def test_a_change_of_raw_data_is_told_and_taken_by_the_command_that_is_named(root, tmp_path):
    root = copy_of(root, tmp_path / "copy")
    made = snakemake(root, "all_birds")
    assert made.returncode == 0 and "warning: raw data" not in made.stdout, made.stdout
    summary = (root / "results/birds/summary.md").read_text()
    assert "## Over 2 splits" in summary and "The splits are birds, birds~fold=1." in summary
    values = [
        pd.read_csv(root / f"results/{name}/results.csv").query("metric == 'top1'")["value"].item()
        for name in ("birds", "birds~fold=1")
    ]
    assert f"{np.mean(values):.1f} ± {np.std(values, ddof=1):.1f}" in summary
    tested = [
        set(pd.read_parquet(root / f"results/{name}/subset/manifest.parquet").query("split == 'test'")["source"])
        for name in ("birds", "birds~fold=1")
    ]
    assert len(tested[0] | tested[1]) == len(tested[0]) + len(tested[1]) == 28

    trees.put(root / "raw", {f"birds/wren/{i}.jpg": trees.picture(i, side=20) for i in (98, 99)})
    for arguments in (["-n", "all_birds"], ["all_birds"]):
        ran = snakemake(root, *arguments)
        assert ran.returncode == 0 and "Nothing to be done" in ran.stdout, ran.stdout
        warnings = dict(re.findall(WARNING, ran.stdout, re.MULTILINE))
        assert sorted(warnings) == [
            f"raw data of {name} changed since its subset was made (2 added, first wren/98.jpg, in raw/birds)"
            for name in ("birds", "birds~fold=1")
        ]
    first = next(line for what, line in warnings.items() if " of birds changed" in what)
    ran = snakemake(root, *shlex.split(first)[2:])
    assert ran.returncode == 0, ran.stdout
    manifest = pd.read_parquet(root / MANIFEST)
    assert len(manifest) == 30 and "wren/99.jpg" in set(manifest["source"])
    assert planned(root, "all_birds") == {}
    told = snakemake(root, "-n", "all_birds").stdout
    assert re.findall("^warning: raw data of (.*) changed", told, re.MULTILINE) == ["birds~fold=1"]

    (root / "raw").rename(root / "gone")
    assert "warning" not in snakemake(root, "-n", "all_birds").stdout


@pytest.mark.slow
def test_too_many_unreadable_pictures_can_be_mended_by_the_command_that_is_named(root, tmp_path):
    root = copy_of(root, tmp_path / "copy")
    whole = {}
    for i in range(4):
        path = root / f"raw/birds/owl/{i}.jpg"
        whole[path] = path.read_bytes()
        path.write_bytes(b"nothing")
    ran = snakemake(root, MANIFEST)
    assert ran.returncode != 0 and "4 of 28 pictures cannot be read" in ran.stdout, ran.stdout
    for path, data in whole.items():
        path.write_bytes(data)
    again = snakemake(root, *command(ran.stdout, r"^error: .*4 of 28 .* then run snakemake (.*)$"))
    assert again.returncode == 0, again.stdout
    manifest = pd.read_parquet(root / MANIFEST)
    assert len(manifest) == 28

    shards.write_table(manifest.drop(columns="digest"), root / MANIFEST)  # as an earlier version did
    ran = snakemake(root, "describe_birds")
    assert ran.returncode != 0 and "lacks the column 'digest', because an earlier version made it" in ran.stdout
    again = snakemake(root, *command(ran.stdout, r"^error: .* lacks the column .*; make it again: snakemake (.*)$"))
    assert again.returncode == 0, again.stdout
    assert snakemake(root, "describe_birds").returncode == 0


@pytest.mark.slow
def test_levels_of_another_white_are_refused_and_taken_from_the_key_that_is_named(root, tmp_path):
    from PIL import Image

    root = copy_of(root, tmp_path / "copy")
    for path in (root / "raw").rglob("*.jpg"):
        levels = np.random.RandomState(0).randint(0, 4096, (8, 8)).astype(np.uint16)
        levels[0, 0] = 4095
        path.unlink()
        Image.fromarray(levels).save(path.with_suffix(".png"))
    ran = snakemake(root, MANIFEST)
    assert ran.returncode != 0
    (level,) = re.findall(r"files of 16 or 32 bits is 4,095, .* set `levels` .* for example (\d+),", ran.stdout)
    config = yaml.safe_load((root / "workflow_config.yaml").read_text())
    config["datasets"]["birds"]["levels"] = int(level)
    (root / "workflow_config.yaml").write_text(json.dumps(config))
    ran = snakemake(root, "describe_birds")
    assert ran.returncode == 0, ran.stdout
    assert re.search(r"brightest level +\| 255 of 255", (root / "results/birds/describe/summary.md").read_text())


@pytest.mark.slow
def test_the_command_that_is_named_has_the_config_of_the_run(root, tmp_path):
    root = copy_of(root, tmp_path / "copy")
    (root / "workflow_config.yaml").rename(root / "my birds.yaml")
    (root / "workflow_config.yaml").touch()
    (root / "raw").rename(root / "elsewhere")
    given = ["--configfile", "my birds.yaml", "--config", "data_root=elsewhere", "--"]
    assert snakemake(root, *given, MANIFEST).returncode == 0
    trees.put(root / "elsewhere", {f"birds/wren/{i}.jpg": trees.picture(i, side=20) for i in (98, 99)})
    told = snakemake(root, *given, MANIFEST)
    line = re.findall(WARNING, told.stdout, re.MULTILINE)[0][1].replace("all_birds", MANIFEST)
    again = snakemake(root, *shlex.split(line)[2:])
    assert again.returncode == 0, again.stdout
    assert len(pd.read_parquet(root / MANIFEST)) == 30


@pytest.mark.slow
def test_a_mistake_in_a_file_of_the_command_line_is_named_there(root, tmp_path):
    root = copy_of(root, tmp_path / "copy")
    (root / "mine.yaml").write_text("classifiers: {ce: {epochs: 0}}")
    told = snakemake(root, "-n", "--configfile", "mine.yaml", "--", MANIFEST)
    assert told.returncode == 1 and "mine.yaml: classifiers.ce.epochs: " in told.stdout, told.stdout


@pytest.mark.slow
def test_a_dry_run_warns_of_a_folder_that_is_missing_although_there_is_a_subset(root, tmp_path):
    root = copy_of(root, tmp_path / "copy")
    assert snakemake(root, MANIFEST).returncode == 0
    (root / "workflow_config.yaml").write_text(CONFIG.replace("path: birds", "path: brids"))
    told = snakemake(root, "-n", MANIFEST)
    assert told.returncode == 0 and "warning: birds: raw/brids is missing: " in told.stdout, told.stdout
