"""Time a classifier: a few training steps, predictions, and scoring."""

import statistics
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from safetensors.torch import save_file

from pipeline import kinds
from pipeline.artifacts import shards
from pipeline.classifiers import AT_ONCE
from pipeline.classifiers import network as networks
from pipeline.classifiers.input.batches import TOGETHER, Labelled
from pipeline.classifiers.input.reader import open_pictures
from pipeline.classifiers.train import train
from pipeline.costs.measure.timing import (
    LONG,
    REPEATS,
    Stopwatch,
    Timed,
    Trained,
    median_seconds,
    seconds_of,
    with_growing_batches,
)
from pipeline.scores.evidence import Evidence


class Stored(NamedTuple):
    """Some of the real pictures: a table of shards, and the folder that its paths are relative to."""

    table: pd.DataFrame
    folder: Path

    def rows(self, count: int) -> "Stored":
        """`count` of the pictures; they repeat if there are fewer."""
        return Stored(self.table.iloc[np.arange(count) % len(self.table)].reset_index(drop=True), self.folder)


def fresh(settings: Mapping[str, Any], stored: Stored, classes: int) -> networks.Network:
    """The network that a training starts with; a foundation is in settings["reads"]."""
    if not (reads := settings.get("reads")):
        return networks.build(settings, classes)
    size = shards.read_pictures(*stored.rows(1), settings["side"]).shape[1:3]
    names = [f"class {number}" for number in range(classes)]
    return kinds.load("classifiers", "from_clip").build(settings, names, size, Path(reads["foundation"]))


def untrained(settings: Mapping[str, Any], stored: Stored, classes: int, folder: Path) -> dict[str, list[Path]]:
    """The files of a guide that has learned nothing, by the names of inputs: its weights, and features of real pictures."""
    network, size = fresh(settings, stored, classes), shards.read_pictures(*stored.rows(1), settings["side"]).shape[1:3]
    networks.save(network, folder / "guide.safetensors", {"picture_size": size})
    features = torch.rand(2 * classes, network.backbone.feature_size)
    save_file({"features": features, "labels": torch.arange(2 * classes) % classes}, folder / "features.safetensors")
    return {"guide": [folder / "guide.safetensors"], "guide_features": [folder / "features.safetensors"]}


def training(settings: Mapping[str, Any], stored: Stored, classes: int, device: torch.device) -> Trained:
    """Time a few steps of the classifiers' own training loop, with the scheme and settings of the config.

    Each class has one real picture if settings["real"], and one that counts as generated if settings["generated"]. With
    several GPUs, or with parts of a batch, one part of it is timed.
    """
    real = settings["real"] or settings.get("rest")
    kinds_of_data = [generated for generated, there in ((False, real), (True, settings["generated"])) if there]
    pictures = open_pictures([stored.rows(classes * len(kinds_of_data))], settings["side"], device)
    data = Labelled(
        pictures,
        torch.arange(len(pictures)) % classes,
        torch.cat([torch.full((classes,), generated) for generated in kinds_of_data]),
        torch.arange(len(pictures)) % 4,
        torch.tensor([0, 0, 1, 1]),
    )
    nothing = torch.zeros(0, dtype=torch.int64)
    test = Labelled(open_pictures([stored.rows(0)], settings["side"], device), nothing, nothing.bool(), nothing)
    network, watch = fresh(settings, stored, classes), Stopwatch(device)

    def epoch(batch: int, steps: int, epochs: int = 1):
        # without learning: same speed, and the loss stays finite
        few = settings | {"batch_size": batch, "epochs": epochs, "learning_rate": 0.0, "accumulate": 1}
        few["select_by"] = "last" if settings["select_by"] == "last" else "val_top1"  # on no pictures
        return lambda: train(few, data, test, lambda: test, network, batch * steps, 0, device, watch)

    def seconds_of_steps(batch: int, steps: int) -> float:
        """Seconds of `steps` additional steps, so that work done once per epoch does not count."""
        few, many = (seconds_of(epoch(batch, count), device) for count in (steps, 3 * steps))
        return (many - few) / 2

    def step_seconds(batch: int) -> float:
        epoch(batch, 1)()
        return max(seconds_of_steps(batch, 1), 1e-9)

    epoch(2, 1, epochs=2)()
    most = -(-settings["batch_size"] // (settings["gpus"] * settings["accumulate"]))
    rough = with_growing_batches(step_seconds, 2, most)
    steps = int(np.clip(LONG / rough.seconds, 1, TOGETHER))
    seconds = statistics.median(seconds_of_steps(rough.batch, steps) for _ in range(REPEATS)) / steps
    with tempfile.TemporaryDirectory() as folder:
        networks.save(network, Path(folder) / "weights.safetensors", {})
        weights = (Path(folder) / "weights.safetensors").stat().st_size
    return Trained(Timed(rough.batch, max(seconds, 0.0)), weights, watch.bytes)


def looking(settings: Mapping[str, Any], stored: Stored, classes: int, device: torch.device) -> Timed:
    """Time features and logits of pictures; large ones are read from their shards meanwhile."""
    network = fresh(settings, stored, classes).to(device)

    def step_seconds(batch: int) -> float:
        pictures = open_pictures([stored.rows(2 * batch)], settings["side"], device)
        network.predict(pictures, batch)
        return median_seconds(lambda: network.predict(pictures, batch), device) / 2

    return with_growing_batches(step_seconds, 1, AT_ONCE)


def scoring(
    metrics: Sequence[str], settings: Mapping[str, Any], stored: Stored, classes: int, device: torch.device
) -> Timed:
    """Time metrics of generated pictures and equally many real ones of their class; a step is all pairs of them."""
    network = fresh(settings, stored, classes).to(device)

    def step_seconds(count: int) -> float:
        few = open_pictures([stored.rows(count)], settings["side"], device)
        (pictures,) = next(few.batches([torch.arange(count)]))
        features, logits = (found.to(device) for found in network.predict(pictures[:1], 1))
        labels, pixels = torch.zeros(count, dtype=torch.int64, device=device), pictures.flatten(1)
        many = features.expand(count, -1).contiguous()
        evidence = Evidence(labels, pixels, many, logits.expand(count, -1), labels, pixels, many)
        return median_seconds(lambda: [kinds.load("scores", name).score(evidence) for name in metrics], device)

    return with_growing_batches(step_seconds, 16, AT_ONCE)
