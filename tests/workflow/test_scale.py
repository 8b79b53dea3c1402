"""iNaturalist's number of classes: tiny files in 8,142 folders become shards and a manifest, and pools of any size are
planned and selected in the memory of a small one.

`PYTHONPATH=. python tests/test_scale.py` stores iNaturalist's 450,000 files, and prints memory and speed beside a bare loop's;
then it plans and selects 8 million pictures, and plans the jobs of pools of that size.
"""

import json
import os
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import trees
from workflow_helpers import REPOSITORY

from pipeline.artifacts import shards

CLASSES, SHARDS = 8142, 2

pytestmark = pytest.mark.slow


def make_tree(root: Path, files: int) -> None:
    """The usual lists, and so many pictures of 8 x 8, of 50 kinds."""
    kinds = [trees.picture(seed, side=8) for seed in range(50)]
    lines: dict[str, list[str]] = {"train": [], "val": []}
    made = 0
    for label in range(CLASSES):
        folder = f"train_val2018/Aves/{label}"
        (root / folder).mkdir(parents=True)
        for i in range(files // CLASSES + (label < files % CLASSES)):
            name = f"{folder}/{label:04d}{i:028x}.jpg"
            with open(root / name, "wb") as file:
                file.write(kinds[made % 50])
            lines["train" if i else "val"].append(f"{name} {label}")
            made += 1
    for split, rows in lines.items():
        (root / f"iNaturalist18_{split}.txt").write_text("\n".join(rows))


def bare_loop(raw: Path, output: Path) -> float:
    """Seconds to list and read the same files and to write the same number of bytes, in one file, down to the disk."""
    size = sum(path.stat().st_size for path in output.glob("real/*.tar"))
    began = time.monotonic()
    names = [entry.path for label in range(CLASSES) for entry in os.scandir(raw / f"train_val2018/Aves/{label}")]
    rest = bytes(size // len(names))
    with open(output / "bare", "wb") as file:
        for name in names:
            with open(name, "rb") as picture:
                data = picture.read()
            file.write(data + rest[len(data) :])
        os.fsync(file.fileno())
    seconds = time.monotonic() - began
    (output / "bare").unlink()
    return seconds


MEASURED = """
import runpy, sys
sys.argv = sys.argv[1:]
runpy.run_module(f"pipeline.stages.{sys.argv[0]}", run_name="__main__")
print(*(line for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""
PEAKS: list[int] = []


def run(stage: str, *arguments) -> int:
    """Run a stage; note and return the most memory that it held, in KiB."""
    command = [sys.executable, "-c", MEASURED, stage, *map(str, arguments)]
    ran = subprocess.run(command, cwd=REPOSITORY, text=True, stdout=subprocess.PIPE, check=True)
    PEAKS.append(int(ran.stdout.split()[-2]))
    return PEAKS[-1]


def store(raw: Path, output: Path) -> float:
    """Seconds of the three stages, the shards at once as Snakemake runs them."""
    stored = [output / f"real/shard-{shard:05d}.tar" for shard in range(SHARDS)]
    subset = '{"source": "inaturalist2018", "rest": true, "selection_seed": 0}'
    began = time.monotonic()
    run("subset", "--config", subset, "--raw", raw, "--output", output / "pictures.parquet")

    def one(shard: int) -> None:
        run("store", "--config", '{"source": "inaturalist2018", "store_side": null}', "--raw", raw, "--shard", f"{shard} of {SHARDS}",
            "--pictures", output / "pictures.parquet", "--output", stored[shard])  # fmt: skip

    with ThreadPoolExecutor(SHARDS) as threads:
        list(threads.map(one, range(SHARDS)))
    run("manifest", "--config", '{"most_rejected": 0}', "--indices",
        *(path.with_suffix(".parquet") for path in stored), "--rejected",
        *(path.with_suffix(".rejected.parquet") for path in stored), "--output", output / "manifest.parquet")  # fmt: skip
    return time.monotonic() - began


@pytest.mark.nightly
def test_many_classes_become_shards_in_little_memory(tmp_path):
    files = 3 * CLASSES
    make_tree(tmp_path / "raw", files)
    store(tmp_path / "raw", tmp_path / "made")
    manifest = pd.read_parquet(tmp_path / "made/manifest.parquet")
    assert len(manifest) == files and manifest["class"].nunique() == CLASSES and manifest["key"].is_unique
    assert manifest.groupby(["class", "split"]).size().unstack().eq({"test": 1, "train": 2}).all(axis=None)
    assert max(PEAKS) / 2**20 < 0.5  # GiB


def plan(folder: Path, per_class: int, *more) -> int:
    """Plan so many pictures of each class; the peak of memory in KiB."""
    classes = np.arange(CLASSES)
    manifest = pd.DataFrame({"class": classes, "class_name": [f"species {i}" for i in classes], "split": "train"})
    shards.write_table(manifest, folder / "manifest.parquet")
    settings = {
        "fill_to": None,
        "per_class": per_class,
        "fill_range": [0, 1],
        "surplus": 0,
        "classes": None,
        "shots": ["few"],
        "cells": "class",
        "seed": 0,
    }
    return run("plan", "--config", json.dumps(settings), "--manifest", folder / "manifest.parquet",
               "--output", folder / "plan.parquet", *more)  # fmt: skip


def plan_with_prompts(folder: Path, per_class: int) -> int:
    """Plan so many pictures of each class, each with a prompt of its own of 240 characters; the peak of memory in KiB."""

    def blocks():
        for labels in np.array_split(np.arange(CLASSES), max(1, CLASSES * per_class // 2**16)):
            texts = [f"{label} {i} ".ljust(240, "x") for label in labels for i in range(per_class)]
            yield pd.DataFrame({"class": np.repeat(labels, per_class), "text": texts})

    shards.write_blocks(blocks(), folder / "prompts.parquet")
    return plan(folder, per_class, "--prompts", folder / "prompts.parquet")


def select(folder: Path, count: int) -> int:
    """Select from `count` shards of 10,000 pictures; the peak of memory in KiB."""
    rows = np.arange(10_000)
    index = pd.DataFrame({"key": [f"{i:05d}-{i:07d}" for i in rows], "class": rows % CLASSES, "class_name": "a species",
                          "index": rows, "seed": rows + 2**62, "generator": "results/inaturalist2018/generator/adm64",
                          "shard": "shard-00000.tar", "offset": 10_000 * rows, "size": 8_000, "crc32": rows})  # fmt: skip
    shards.write_table(index, folder / "pool.parquet")
    shards.write_table(index[["key", "class", "class_name"]].assign(d3=rows / len(rows)), folder / "score.parquet")
    settings = {"keep": [["d3", ">=", 0.1]], "first": None, "fill_to": None, "top_up": None, "highest": None}
    settings = json.dumps(settings | {"fill_range": [0, 1], "cells": "class"})
    classes = pd.DataFrame({"class": np.arange(CLASSES), "class_name": "a species", "split": "train"})
    shards.write_table(classes, folder / "manifest.parquet")
    return run("select", "--config", settings, "--manifest", folder / "manifest.parquet", "--output", folder / "selected.parquet",
               "--indices", *[folder / "pool.parquet"] * count, "--scores", *[folder / "score.parquet"] * count)  # fmt: skip


@pytest.mark.nightly
@pytest.mark.parametrize(
    "stage, few, many, output",
    [(plan, 10, 600, "plan"), (plan_with_prompts, 20, 150, "plan"), (select, 4, 60, "selected")],
)
def test_a_pools_stages_take_no_more_memory_for_a_large_pool(tmp_path, stage, few, many, output):
    """A table of the larger pool's rows, or of its prompts, in memory would be another 300 MiB or more."""
    small, large = stage(tmp_path, few), stage(tmp_path, many)
    assert pq.read_metadata(tmp_path / f"{output}.parquet").num_rows >= 500_000
    assert large - small < 100 * 2**10


def dry_run(target: str) -> tuple[int, int]:
    """`snakemake -n` of a target at the papers' sizes; the number of jobs, and the peak of memory in KiB."""
    code = "import resource as r, subprocess, sys; subprocess.run(sys.argv[1:], check=1); print(r.getrusage(r.RUSAGE_CHILDREN).ru_maxrss)"
    command = [
        sys.executable,
        "-m",
        "snakemake",
        "-n",
        "--profile",
        "slurm",
        "--configfile",
        "tests/paper_scale.yaml",
        "--",
        target,
    ]
    ran = subprocess.run(
        [sys.executable, "-c", code, *command], cwd=REPOSITORY, text=True, stdout=subprocess.PIPE, check=True
    )
    return int(re.search(r"^total +(\d+)$", ran.stdout, re.MULTILINE)[1]), int(ran.stdout.split()[-1])


def test_six_pools_of_millions_are_planned_in_little_memory():
    jobs, peak = dry_run("all_imagenet_lt")
    assert jobs > 2 * 6 * 400
    assert peak / 2**20 < 1  # GiB


if __name__ == "__main__":
    import tempfile

    files = 450_000
    with tempfile.TemporaryDirectory() as folder:
        raw, made = Path(folder) / "raw", Path(folder) / "made"
        make_tree(raw, files)
        store(raw, made)  # warms what the first of two would pay for
        for _ in range(3):
            bare, ours = bare_loop(raw, made), store(raw, made)
            print(f"{ours:.1f} s for {files} files, a bare loop {bare:.1f} s: {100 * bare / ours:.0f} % of its speed")
    print(f"largest process: {max(PEAKS) / 2**20:.2f} GiB")
    for stage, size in ((plan, 983), (select, 800)):
        with tempfile.TemporaryDirectory() as folder:
            began, peak = time.monotonic(), stage(Path(folder), size)
            print(f"{stage.__name__}, 8 million pictures: {time.monotonic() - began:.0f} s, {peak / 2**20:.2f} GiB")
    for target in ("all_imagenet_lt", "all_inaturalist2018"):
        began, (jobs, peak) = time.monotonic(), dry_run(target)
        print(f"snakemake -n {target}, {jobs} jobs: {time.monotonic() - began:.0f} s, {peak / 2**20:.2f} GiB")
