"""Some real pictures, as a data set stores them."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from pipeline.artifacts import pictures, shards
from pipeline.generators.adapting import Job
from pipeline.jobs.checkpoint import Checkpoint, Pieces
from pipeline.stages import embeddings as stage

SIZES = [(16, 16), (24, 16), (40, 48), (16, 16)]
"""Height and width of the pictures, in pixels."""


def picture(number: int) -> np.ndarray:
    """A bright ellipse on a coloured slope, uint8 [H, W, 3]; each number has another one."""
    height, width = SIZES[number % len(SIZES)]
    y, x = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    inside = (x - 0.3 - 0.1 * number % 0.5) ** 2 + 2 * (y - 0.5) ** 2 < 0.05
    slope = np.stack([x, y, (x + number / 4) % 1], axis=-1) * 200
    return np.where(inside[..., None], 255, slope).astype(np.uint8)


def manifest(folder: Path, labels: tuple[int, ...] = (0, 0, 1, 2)) -> Path:
    """A manifest of training pictures of these classes, real0, real1 and so on, and a test picture of each class."""
    splits = ["train"] * len(labels) + ["test"] * (max(labels) + 1)
    classes = [*labels, *range(max(labels) + 1)]
    records = (
        (
            f"real{place}",
            pictures.encode(picture(place)),
            "png",
            {"class": label, "class_name": f"class {label}", "split": split},
        )
        for place, (label, split) in enumerate(zip(classes, splits, strict=True))
    )
    folder.mkdir(parents=True, exist_ok=True)
    index = shards.write(folder / "shard-00000.tar", records)
    shards.write_table(index, folder / "manifest.parquet")
    return folder / "manifest.parquet"


def embeddings(manifest: Path, foundation: Path) -> Path:
    """The embeddings of a manifest's training pictures by an unCLIP model, as their stage writes them beside the model's table."""
    output = foundation.with_name("embeddings.safetensors")
    given = ["--manifest", str(manifest), "--foundation", str(foundation), "--output", str(output)]
    stage.main(stage.arguments().parse_args(given))
    return output


def images(numbers: list[int]) -> list[Image.Image]:
    """The pictures real0, real1 and so on."""
    return [Image.fromarray(picture(number)) for number in numbers]


def adapting_job(
    foundation: Path, real: Path, names: list[str], classes: tuple[int, ...], folder: Path, minutes: float
) -> Job:
    """The job, on a CPU, that trains `classes` of a manifest into `folder`; its checkpoint is due after `minutes`."""
    table = shards.read_table(real)
    table = table[(table["split"] == "train") & table["class"].isin(classes)]
    kept = folder / "checkpoints", {}, None, [real]
    return Job(
        foundation,
        table.sort_values(["class", "key"], ignore_index=True),
        real.parent,
        np.array(classes),
        np.array(names, object),
        torch.device("cpu"),
        Checkpoint(*kept, minutes),
        Pieces(*kept),
        folder,
    )
