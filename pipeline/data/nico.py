"""nico: NICO++ (track 1), 60 classes in 6 contexts, with SubpopBench's groups, and its split made reproducible."""

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
    """A class is a label, and a group a label in a context, as in LDM-FG Sec. 4."""
    from pipeline.data.raw import FileSource

    return FileSource(folder, lambda skipped: _grouped(folder, settings["selection_seed"], skipped))


def _grouped(folder: Path, seed: int, skipped: Any):
    """Shuffle each group, then split it as SubpopBench does (Yang et al. 2023).

    `min(n, 75)` of a group's n pictures are held out: a third of them, rounded down, for validation, the others for the test.
    So a group of up to 75 pictures has no training pictures. SubpopBench kept the file system's order. Here the files are
    sorted, and each group has a random generator of its own, so that other groups do not matter.
    """
    import numpy as np
    import pandas as pd

    from pipeline.data.files import class_folders, pictures_below, require_distinct
    from pipeline.data.groups import group_of

    LOCATION.require(folder)
    root = folder / "public_dg_0416" / "train"
    contexts = class_folders(root, skipped)
    labels = sorted({label for context in contexts for label in class_folders(root / context)})
    require_distinct([*contexts, *labels], str(root))
    rows = []
    for context in contexts:
        for label in class_folders(root / context):
            names = pictures_below(root / context / label, skipped)
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
                    group_of(label, context),
                    context,
                )
                for name, split in zip(names, splits, strict=True)
            ]
    return pd.DataFrame(rows, columns=["source", "class", "class_name", "split", "group", "context"])
