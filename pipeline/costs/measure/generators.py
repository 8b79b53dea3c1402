"""Time a generator: a few training steps, and a few pictures drawn with the result."""

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from safetensors.torch import save_file

from pipeline import kinds
from pipeline.artifacts import digests, made, shards
from pipeline.costs.measure.classifiers import Stored
from pipeline.costs.measure.timing import (
    LONG,
    Once,
    Stopwatch,
    Timed,
    Trained,
    median_seconds,
    seconds_of,
    with_growing_batches,
)
from pipeline.foundations.image_embeddings import image_embeddings
from pipeline.foundations.table import identity
from pipeline.generators.adapting import Job
from pipeline.generators.source_pictures import SourcePictures
from pipeline.jobs.inputs import Inputs, only
from pipeline.learned import LEARNED

TABLE = "history.parquet"
"""Name of the table in a trained generator's folder."""
TRAINED_STEPS = 5
DRAWN_STEPS = 51
"""Largest number of steps; noise is drawn for 50 steps at once."""


def training(
    settings: Mapping[str, Any],
    pictures: np.ndarray,
    labels: np.ndarray,
    classes: int,
    device: torch.device,
    folder: Path,
) -> Trained:
    """Time the generator's own `train` on some of the real pictures, uint8 [N, H, W, 3], repeated as needed.

    The weights are written to `folder`.
    """
    train = kinds.load("generators", f"{settings['kind']}.train").train
    watch = Stopwatch(device)

    def step_seconds(batch: int) -> float:
        nonlocal watch
        watch = Stopwatch(device)
        rows = np.arange(batch) % len(pictures)
        few = settings | {"batch_size": batch, "steps": TRAINED_STEPS}
        train(few, pictures[rows], labels[rows], classes, device, watch, folder)
        return watch.step_seconds()

    timed = with_growing_batches(step_seconds, 1, settings["batch_size"])
    weights = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    return Trained(timed, weights, watch.bytes)


class Adapted(NamedTuple):
    """A pass's time, with all its pictures; seconds to encode a picture; bytes of a kept state, and of a class's checkpoint."""

    timed: Timed
    to_encode: float
    state: float
    checkpoint: float


def adapting(settings: Mapping[str, Any], stored: Stored, device: torch.device, folder: Path) -> Adapted:
    """Time the `train` of a generator that learns class by class, on some real pictures that take the classes' places.

    What it learns is written to `folder`.
    """
    train = kinds.load("generators", f"{settings['kind']}.train")
    size, foundation = settings["batch_size"], Path(settings["reads"]["foundation"])
    output, watch, job = (folder / TABLE).with_suffix(""), Stopwatch(device), None

    def step_seconds(batch: int) -> float:
        nonlocal watch, job
        at_once = "classes_at_once" in settings  # if not, one class after the other learns
        watch, classes = Stopwatch(device), -(-batch // size) if at_once else 1
        few = settings | ({"classes_at_once": classes} if at_once else {"batch_size": batch})
        real = stored.table.iloc[np.arange(max(classes, len(stored.table))) % len(stored.table)]
        real = real.assign(**{"class": np.arange(len(real)) % classes}).sort_values("class", ignore_index=True)
        names = np.array([f"class {label}" for label in range(classes)], object)
        job = Job(foundation, real, stored.folder, np.arange(classes), names, device, watch, Once(device), output)
        history, files = train.train(few, job)
        about = {"foundation": identity(foundation)} | train.about(settings)
        shards.write_table(history.assign(folder=output.name), folder / TABLE, files, about)
        return watch.step_seconds()

    most = size * settings.get("classes_at_once", 1)
    timed = with_growing_batches(step_seconds, size if "classes_at_once" in settings else 1, most)
    states = [path.stat().st_size for path in folder.rglob("*.safetensors")]
    return Adapted(
        timed, job.pieces.seconds / len(job.real), sum(states) / len(job.classes), watch.bytes / len(job.classes)
    )


def embedding(foundation: Path, stored: Stored, device: torch.device, output: Path) -> Timed:
    """Time the image encoder of a foundation, picture by picture. Embeddings of the real pictures are written to `output`."""
    pictures = SourcePictures(stored.folder / "real.parquet").images(stored.table["key"])
    embeddings = image_embeddings(foundation, itertools.cycle(pictures), device)
    found = [next(embeddings) for _ in pictures]
    save_file({"embeddings": torch.stack(found)}, output, made.metadata())
    digests.seal(output)
    return Timed(1, median_seconds(lambda: next(embeddings), device))


def drawing(settings: Mapping[str, Any], inputs: Inputs, classes: int, device: torch.device) -> Timed:
    """Time the generator's own sampler; a step is one step of the sampler for all pictures of a batch.

    inputs: what it reads, `manifest`, a table of some real pictures, and perhaps their `embeddings`. What comes once a picture, a
    decoder or an upsampler, is shared among the steps that the pool asks for.
    """
    sources = shards.read_table(only(inputs, "manifest"), ["key"])["key"].to_numpy(object)
    sampler_of = kinds.load("generators", f"{settings['generator']['kind']}.sample").Sampler

    def step_seconds(batch: int) -> float:
        rows = {"class": np.arange(batch) % classes, "seed": np.arange(batch), "prompt": "A photo of a class."}
        rows |= {"source": np.resize(sources, batch), "strength": 1.0}  # all of the steps are done
        if settings["adapted"]:  # to a few of the classes
            states = shards.read_table(only(inputs, "generator"))
            states = states.iloc[np.arange(batch) % len(states)].reset_index(drop=True)
            rows |= {"class": states["class"]}
            if "checkpoints" in settings["draw"]:
                rows |= {"checkpoint": states["step"], "prompt": f"A photo of a {LEARNED}."}
        rows = pd.DataFrame(rows)

        def draw(steps: int):
            how = settings["draw"] | ({"steps": steps} if "steps" in settings["draw"] else {})
            sampler = sampler_of(inputs, settings | {"batch_size": batch, "draw": how}, device)
            return lambda: list(sampler.draw(rows))

        asked = settings["draw"].get("steps", 1)
        first = seconds_of(draw(1), device)
        steps = int(np.clip(3 * LONG / first, min(2, asked), min(DRAWN_STEPS, asked)))
        seconds = median_seconds(draw(steps), device)
        if steps < asked:
            more = max(0, seconds - median_seconds(draw(1), device)) / (steps - 1)
            seconds += (asked - steps) * more
        return seconds / asked

    return with_growing_batches(step_seconds, 1, settings["batch_size"])
