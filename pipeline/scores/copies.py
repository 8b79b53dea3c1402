"""Scores of generated pictures that are near duplicates of real ones: how alike the nearest training and test pictures are."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch.nn import functional

from pipeline import kinds
from pipeline.artifacts import shards
from pipeline.jobs.device import device
from pipeline.jobs.inputs import Inputs
from pipeline.jobs.progress import progress

AT_ONCE = 256
"""Generated pictures that are compared together."""
BLOCK = 4096
"""Real pictures of a block."""
SIDE = 32
"""Side to which pictures are scaled before their pixels are compared."""
SPLITS = ("train", "test")


@torch.inference_mode()
def scores(
    inputs: Inputs, settings: Mapping[str, Any], manifest: Path, index: Path, first: int
) -> Iterator[np.ndarray]:
    """Score a shard's pictures from row `first` of its index on, in pieces: float64 [pictures, columns].

    pixel_train and pixel_test: the highest correlation of a picture's levels, scaled to 32 px, with those of a training or test
    picture of any class. feature_train and feature_test: the highest cosine of its features under the network that
    settings["extractor"] names, with its `inputs`. All lie in [-1, 1]; 1 is a copy. Each has a second column, as pixel_train_row:
    the number of that picture's row in the manifest.
    """
    target, rows, real = device(), shards.read_table(index), shards.read_table(manifest, needs=shards.REAL)
    side = shards.read_pictures(rows[:1], index.parent).shape[1]
    extract = kinds.load("evaluation.extractors", settings["extractor"]).load(settings, inputs, side, target)

    def seen(table: pd.DataFrame, folder: Path) -> dict[str, torch.Tensor]:
        pixels = torch.from_numpy(shards.read_pictures(table, folder, SIDE))
        return {"pixel": pixels.flatten(1), "feature": extract(table, folder)[0]}

    known = {}
    for split in SPLITS:
        own = real[real["split"] == split]
        blocks = [
            seen(own[start : start + BLOCK], manifest.parent)
            for start in progress(range(0, len(own), BLOCK), f"{split} pictures", -(-len(own) // BLOCK), unit="block")
        ]
        known[split] = (
            own.index.to_numpy(),
            {by: torch.cat([block[by] for block in blocks]) for by in ("pixel", "feature")},
        )
    starts = range(first, len(rows), AT_ONCE)
    for start in progress(starts, "comparing", len(starts), unit="batch"):
        ours, columns = seen(rows[start : start + AT_ONCE], index.parent), {}
        for split, (places, theirs) in known.items():
            for by in ("pixel", "feature"):
                found, nearest = most_alike(ours[by].to(target), theirs[by].to(target), centred=by == "pixel")
                columns[f"{by}_{split}"] = found.cpu().numpy()
                columns[f"{by}_{split}_row"] = places[nearest.cpu().numpy()]
        yield np.stack([columns[name] for name in settings["columns"]], axis=1).astype(float)


def most_alike(ours: torch.Tensor, theirs: torch.Tensor, centred: bool) -> tuple[torch.Tensor, torch.Tensor]:
    """The highest cosine of each row of `ours`, [N, D], with a row of `theirs`, [M, D], float64 [N], and that row's place, int64 [N].

    centred: subtract each row's mean first, which makes it the correlation. The first of equally near rows counts. A row without length
    is alike to none, 0.
    """
    ours = _unit(ours, centred)
    best = torch.full((len(ours),), -torch.inf, dtype=torch.float64, device=ours.device)
    places = torch.zeros(len(ours), dtype=torch.int64, device=ours.device)
    for start in range(0, len(theirs), BLOCK):
        found, nearest = (ours @ _unit(theirs[start : start + BLOCK], centred).T).max(1)
        better = found > best
        best, places = torch.where(better, found, best), torch.where(better, nearest + start, places)
    return best.clamp(-1, 1), places


def _unit(rows: torch.Tensor, centred: bool) -> torch.Tensor:
    rows = rows.double()
    return functional.normalize(rows - rows.mean(1, keepdim=True) if centred else rows)
