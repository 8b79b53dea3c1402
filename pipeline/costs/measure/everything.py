"""Measure all figures of a data set's parts on this hardware."""

import datetime
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from pipeline.artifacts import pictures as encodings
from pipeline.artifacts import shards
from pipeline.costs import figures
from pipeline.costs.figures import COLUMNS, START, START_OF_GENERATORS, Figure
from pipeline.costs.measure import classifiers, generators
from pipeline.costs.measure.classifiers import Stored
from pipeline.costs.measure.timing import Trained, seconds_of
from pipeline.data.raw import Source
from pipeline.data.stored import each_row, records
from pipeline.jobs.device import THREADS

PICTURES = 64
"""Number of real pictures used for all measurements."""


def measured(config: Mapping[str, Any], subset: pd.DataFrame, source: Source, device: torch.device) -> pd.DataFrame:
    """Measure a row for each of `figures.wanted(config)`.

    config: dataset, store_side, and by name the settings of generators, pools (with `drawn_by`, `trained` and `side`),
    scores (with `scorer`) and classifiers (with `generated`). subset: the subset stage's table. source: the raw pictures.
    """
    about = {"origin": "measured", "hardware": hardware(device), "date": datetime.date.today().isoformat()}
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for figure, value, batch in _figures(config, subset, source, device, Path(folder)):
            rows.append({**figure._asdict(), "value": value, "batch": batch, **about})
            print(f"{figure.stage} {figure.part}: {value:.4g} {figure.quantity}", flush=True)
    table = pd.DataFrame(rows, columns=COLUMNS).astype({"batch": "Int64"}).set_index(list(Figure._fields))
    return table.loc[figures.wanted(config)].reset_index()


def hardware(device: torch.device) -> str:
    """Name of the hardware; for a CPU also its load, because measurements beside other work are slower."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    about = Path("/proc/cpuinfo")  # which macOS lacks
    lines = about.read_text(encoding="utf-8").splitlines() if about.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if "model name" in line]
    return (
        f"{THREADS} threads of a CPU {names[0] if names else platform.machine()} with {os.cpu_count()} cores, "
        f"at a load of {os.getloadavg()[0]:.1f}"
    )


def _figures(
    config: Mapping[str, Any], subset: pd.DataFrame, source: Source, device: torch.device, folder: Path
) -> Iterator[tuple[Figure, float, int | None]]:
    """(figure, value, batch or None), each figure once."""
    classes = int(subset["class"].max()) + 1
    yield START, _start(["pipeline.classifiers.train"]), None
    if config["pools"]:
        kinds = sorted({part["generator"]["kind"] for part in config["pools"].values()})
        yield START_OF_GENERATORS, _start([f"pipeline.generators.{kind}.sample" for kind in kinds]), None

    train = subset[subset["split"] == "train"]
    few = train.iloc[np.unique(np.linspace(0, len(train) - 1, PICTURES).round().astype(int))]
    path = folder / "real.tar"
    seconds = seconds_of(lambda: _store(few, source, config["store_side"], path), torch.device("cpu"))
    stored = Stored(shards.read_table(path.with_suffix(".parquet")), folder)
    yield Figure("store", config["dataset"], figures.SECONDS_A_PICTURE), seconds / len(few), None
    yield Figure("store", config["dataset"], figures.BYTES_A_PICTURE), path.stat().st_size / len(few), None

    for name, settings in config["generators"].items():
        if settings["adapted"]:
            yield from _adapted(name, settings, stored, device, folder / name)
            continue
        pictures = shards.read_pictures(*stored, settings["side"])
        labels = stored.table["class"].to_numpy("int64")
        yield from _trained(
            "generator", name, generators.training(settings, pictures, labels, classes, device, folder / name)
        )
    for name in sorted({settings["embedded_by"] for settings in config["pools"].values()} - {None}):
        (table,) = {s["reads"]["foundation"] for s in config["pools"].values() if s["embedded_by"] == name}
        timed = generators.embedding(Path(table), stored, device, folder / f"{name}.safetensors")
        yield Figure("embeddings", name, figures.SECONDS_A_PICTURE), timed.a_picture, timed.batch
    for name, settings in config["pools"].items():
        guide = config["classifiers"].get(settings["guide"])
        yield from _pool(name, settings, guide, stored, classes, device, folder)
    seen: dict[str, Any] = {}
    for name, settings in config["classifiers"].items():
        alike = json.dumps(settings, sort_keys=True)
        if alike not in seen:
            seen[alike] = classifiers.training(settings, stored, classes, device)
        yield from _trained("classifier", name, seen[alike])
        looks = json.dumps([settings[key] for key in ("backbone", "width", "side", "tuning", "tuning_rank", "reads")])
        if looks not in seen:
            seen[looks] = classifiers.looking(settings, stored, classes, device)
        yield Figure("evaluate", name, figures.SECONDS_A_PICTURE), seen[looks].a_picture, seen[looks].batch
        size = classifiers.fresh(settings, stored, classes).backbone.feature_size
        yield Figure("features", name, figures.BYTES_A_PICTURE), 4 * size, None  # of float32
    for name, settings in config["scores"].items():
        if settings["kind"] != "classifier":  # the comparisons of others take little time
            continue
        scorer = config["classifiers"][settings["scorer"]]
        timed = classifiers.scoring(settings["columns"], scorer, stored, classes, device)
        yield Figure("score", name, figures.SECONDS_A_PAIR), timed.seconds / timed.batch**2, timed.batch


def _pool(
    name: str,
    settings: Mapping[str, Any],
    guide: Mapping[str, Any] | None,
    stored: Stored,
    classes: int,
    device: torch.device,
    folder: Path,
) -> Iterator[tuple[Figure, float, int | None]]:
    """Figures of a pool; `folder` contains the trained generators, by name. guide: settings of the classifier whose feedback it has."""
    inputs = {name: [Path(path)] for name, path in settings["reads"].items()} | {"manifest": [folder / "real.parquet"]}
    if settings["embedded_by"]:
        inputs["embeddings"] = [folder / f"{settings['embedded_by']}.safetensors"]
    if settings["trained"]:
        inputs["generator"] = [folder / settings["drawn_by"] / generators.TABLE]
    if guide is not None:
        inputs |= classifiers.untrained(guide, stored, classes, folder)
    timed = generators.drawing(settings, inputs, classes, device)
    yield Figure("sample", name, figures.SECONDS_A_STEP), timed.a_picture, timed.batch
    pictures = shards.read_pictures(*stored, settings["side"])
    grey = (pictures == pictures[..., :1]).all()
    encoded = [encodings.encode(picture[..., 0] if grey else picture, **settings["store"]) for picture in pictures]
    size = _shard_bytes(encoded, folder / "pool.tar")
    yield Figure("sample", name, figures.BYTES_A_PICTURE), size / len(encoded), None


def _adapted(
    name: str, settings: Mapping[str, Any], stored: Stored, device: torch.device, folder: Path
) -> Iterator[tuple[Figure, float, int | None]]:
    """Figures of a generator that learns class by class."""
    adapted = generators.adapting(settings, stored, device, folder)
    yield Figure("adapt", name, figures.SECONDS_A_PICTURE), adapted.timed.a_picture, adapted.timed.batch
    yield Figure("adapt", name, figures.SECONDS_TO_ENCODE), adapted.to_encode, None
    yield Figure("adapt", name, figures.BYTES_A_STATE), adapted.state, None
    yield Figure("adapt", name, figures.BYTES_OF_CHECKPOINT), adapted.checkpoint, None


def _trained(stage: str, name: str, trained: Trained) -> Iterator[tuple[Figure, float, int | None]]:
    yield Figure(stage, name, figures.SECONDS_A_PICTURE), trained.timed.a_picture, trained.timed.batch
    yield Figure(stage, name, figures.BYTES_OF_WEIGHTS), trained.weights, None
    yield Figure(stage, name, figures.BYTES_OF_CHECKPOINT), trained.checkpoint, None


def _start(modules: list[str]) -> float:
    """Seconds until a process has loaded these modules and has the device; this process has read the same files before."""
    code = (
        f"import torch, {', '.join(modules)}; from pipeline.jobs.device import device; torch.zeros(1, device=device())"
    )
    return seconds_of(lambda: subprocess.run([sys.executable, "-c", code], check=True), torch.device("cpu"))


def _store(few: pd.DataFrame, source: Source, side: int | None, path: Path) -> None:
    index = shards.write(path, records(each_row(few), source, side, []))
    shards.write_table(index, path.with_suffix(".parquet"))


def _shard_bytes(encoded: list[bytes], path: Path) -> int:
    """Size in bytes of a shard with these encoded pictures."""
    shards.write(
        path, ((f"{row:08d}", picture, "png", {"class": 0, "class_name": ""}) for row, picture in enumerate(encoded))
    )
    return path.stat().st_size
