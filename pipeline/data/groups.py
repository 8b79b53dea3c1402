"""The groups of a subset's pictures: their names, and their numbers, the same wherever groups are numbered."""

import hashlib
from collections.abc import Iterable

import numpy as np
import pandas as pd


def group_names(manifest: pd.DataFrame) -> list[str]:
    """The groups of all splits, sorted; their places are their numbers. Empty where there are no groups."""
    return sorted(manifest["group"].dropna().unique()) if "group" in manifest else []


def group_numbers(pictures: pd.DataFrame, names: list[str]) -> np.ndarray:
    """The number of each picture's group, int64 [N]; -1 for a picture without a group, and for a group not in `names`."""
    if "group" not in pictures:
        return np.full(len(pictures), -1)
    return pd.Index(names, dtype=pictures["group"].dtype).get_indexer(pictures["group"])


def group_of(class_name: str, context: str) -> str:
    """The group of a class in a context: LDM-FG's definition for NICO++ (Sec. 4.2). Without a context, there is none."""
    return f"{class_name}, {context}" if context else ""


def contexts_of(manifest: pd.DataFrame) -> np.ndarray:
    """The number of each group's context, int64 [groups], in the order of `group_names`.

    A group that is no class in a context is a context of its own.
    """
    names = group_names(manifest)
    if "context" not in manifest:
        return np.arange(len(names))
    first = manifest.dropna(subset="group").drop_duplicates("group").set_index("group").loc[names, "context"]
    return np.unique(first.to_numpy(), return_inverse=True)[1].astype(np.int64)


def name_hashes(names: Iterable[str]) -> np.ndarray:
    """64 bits of each group's name, uint64, the same on any machine: BLAKE2b of its UTF-8 bytes, little-endian."""
    found = {name: hashlib.blake2b(name.encode(), digest_size=8).digest() for name in set(names)}
    return np.array([int.from_bytes(found[name], "little") for name in names], np.uint64)
