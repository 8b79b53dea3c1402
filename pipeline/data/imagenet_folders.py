"""Training pictures drawn from ImageNet-1K's folders, for long tails without a published list."""

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.data.files import Skipped, pictures_below
from pipeline.data.imagenet_classes import CLASSES
from pipeline.data.long_tail import select
from pipeline.errors import InputError


def draw(folder: Path, counts: Mapping[str, int], seed: int, skipped: Skipped) -> pd.DataFrame:
    """Draw `counts` training pictures of each WordNet id from its sorted folder. The others are `rest`, and val/ is `test`.

    A label is the position of its id in `counts`. Raises InputError if a class has too few pictures, or if val/ is flat and
    so gives no labels.
    """
    if is_flat(folder):
        raise InputError(
            f"{folder / 'val'} is flat, so its pictures have no classes: sort them into a folder for each WordNet id, "
            "as ImageNet's valprep script does"
        )
    rows = []
    for label, wnid in enumerate(counts):
        for part, split in (("train", "rest"), ("val", "test")):
            rows += [(f"{part}/{wnid}/{name}", label, split) for name in pictures_below(folder / part / wnid, skipped)]
    table = pd.DataFrame(rows, columns=["source", "class", "split"])
    train = np.flatnonzero(table["split"] == "rest")
    kept = train[select(table["class"].to_numpy()[train], np.array(list(counts.values())), seed)]
    table.loc[kept, "split"] = "train"
    return table.assign(class_name=np.array([CLASSES[wnid] for wnid in counts])[table["class"]])


def is_flat(folder: Path) -> bool:
    """Whether val/ holds pictures without class folders, as its archive unpacks."""
    return not any(re.fullmatch(r"n\d{8}", path.name) for path in (folder / "val").iterdir())
