"""nico: NICO++ (track 1), 60 classes in 6 contexts, with the groups and the split of SubpopBench made reproducible."""

import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.data.location import Location

LOCATION = Location(
    folder="nico",
    needs=("public_dg_0416/train",),
    how_to_get="unpack NICO++'s track_1.zip (github.com/xxgege/NICO-plus)",
)
HELD_OUT = 75


def open_source(folder: Path, settings: Mapping[str, Any]):
    """A class is a label, a group a label in a context; LDM-FG Sec. 4 uses them."""
    from pipeline.data.raw import FileSource

    return FileSource(folder, lambda: _grouped(folder, settings["selection_seed"]))


def _grouped(folder: Path, seed: int):
    """SubpopBench (Yang et al. 2023): of each group, shuffled, `min(n, 75)` pictures are held out, a third of them, rounded
    down, for validation and the others for the test; a group of up to 75 pictures has no training part.

    Its files came in the file system's order; here they are sorted, and each group is shuffled by a generator of its own,
    so that other groups do not matter.
    """
    import numpy as np
    import pandas as pd

    from pipeline.data.files import class_folders, pictures_below, require_distinct

    LOCATION.require(folder)
    root = folder / "public_dg_0416" / "train"
    contexts = class_folders(root)
    labels = sorted({label for context in contexts for label in class_folders(root / context)})
    require_distinct([*contexts, *labels], str(root))
    rows = []
    for context in contexts:
        for label in class_folders(root / context):
            names = pictures_below(root / context / label)
            group = zlib.crc32(f"{context}/{label}".encode())
            order = np.random.RandomState([seed, group]).permutation(len(names))
            held_out = min(len(names), HELD_OUT)
            splits = np.full(len(names), "train", object)
            splits[order[:held_out]] = "test"
            splits[order[: held_out // 3]] = "val"
            rows += [
                (
                    f"public_dg_0416/train/{context}/{label}/{name}",
                    labels.index(label),
                    label,
                    split,
                    f"{label}, {context}",
                )
                for name, split in zip(names, splits, strict=True)
            ]
    return pd.DataFrame(rows, columns=["source", "class", "class_name", "split", "group"])
