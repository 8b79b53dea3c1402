"""Training a generator for a few steps, and drawing a few pictures with what came of it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipeline import kinds
from pipeline.costs.measure.timing import (
    LONG,
    Stopwatch,
    Timed,
    Trained,
    median_seconds,
    seconds_of,
    with_growing_batches,
)

TRAINED_STEPS = 5
DRAWN_STEPS = 51
"""At most: noise is drawn for 50 steps at once."""


def training(
    settings: Mapping[str, Any],
    pictures: np.ndarray,
    labels: np.ndarray,
    classes: int,
    device: torch.device,
    folder: Path,
) -> Trained:
    """Train by the generator's own `train` on some of the real pictures, uint8 [N, H, W, 3], which are repeated as
    needed. The weights lie in `folder` afterwards."""
    train = kinds.load("generators", f"{settings['kind']}.train").train
    watch = Stopwatch(device)

    def step_seconds(batch: int) -> float:
        nonlocal watch
        watch = Stopwatch(device)
        rows = np.arange(batch) % len(pictures)
        few = settings | {"batch_size": batch, "steps": TRAINED_STEPS, "learning_rate": 0.0, "many_shot_share": 1.0}
        train(few, pictures[rows], labels[rows], classes, device, watch, folder)
        return watch.step_seconds()

    timed = with_growing_batches(step_seconds, 1, settings["batch_size"])
    weights = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return Trained(timed, weights, watch.bytes)


def drawing(kind: str, settings: Mapping[str, Any], classes: int, device: torch.device, folder: Path) -> Timed:
    """Draw by the generator's own sampler; a step is one of the sampler's, of all pictures of a batch."""
    sampler_of = kinds.load("generators", f"{kind}.sample").Sampler

    def step_seconds(batch: int) -> float:
        labels = np.arange(batch) % classes

        def draw(steps: int):
            sampler = sampler_of(folder, settings | {"batch_size": batch, "steps": steps}, device)
            return lambda: list(sampler.draw(labels, labels))

        first = seconds_of(draw(1), device)
        steps = int(np.clip(3 * LONG / first, 1, min(DRAWN_STEPS, settings["steps"])))
        return median_seconds(draw(steps), device) / steps

    return with_growing_batches(step_seconds, 1, settings["batch_size"])
