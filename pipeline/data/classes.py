"""The classes of a subset's table, and how many pictures there are of each, or of each cell."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from pipeline.data.groups import group_names
from pipeline.data.subset import SPLITS
from pipeline.errors import InputError


def class_names(pictures: pd.DataFrame) -> np.ndarray:
    """Class names in the order of the labels, object [C]."""
    return pictures.drop_duplicates("class").sort_values("class")["class_name"].to_numpy()


def counts_of(pictures: pd.DataFrame) -> dict[str, np.ndarray]:
    """Split -> pictures of each class, int64 [C]."""
    classes = int(pictures["class"].max()) + 1
    return {
        split: np.bincount(pictures.loc[pictures["split"] == split, "class"], minlength=classes) for split in SPLITS
    }


def cells_of(manifest: pd.DataFrame, by: str) -> pd.DataFrame:
    """The cells that a pool may fill, with their training pictures: class, class_name and train, a row for each, sorted.

    by: "class", or "group": each group of each class, with its name in `group` and, if it is a class in a context, `context`.
    Classes without a split, as those of a source, have no training pictures. Raises InputError if there are no groups.
    """
    if by == "group" and not group_names(manifest):
        raise InputError("the pool's cells are groups, but the data set has none; set cells: class")
    if by == "group" and len(
        without := class_names(manifest[~manifest["class"].isin(manifest.dropna(subset="group")["class"])])
    ):
        raise InputError(
            f"the pool's cells are groups, but no picture of the class '{without[0]}' has one; set cells: class"
        )
    columns = ["class", "class_name", *(["group"] if by == "group" else [])]
    columns += ["context"] if by == "group" and "context" in manifest else []
    if "split" not in manifest:
        return manifest[columns].sort_values("class", ignore_index=True).assign(train=0)
    return counted(manifest, columns).drop(columns=[split for split in SPLITS if split != "train"])


def part_of(counts: np.ndarray, fill_range: Sequence[float]) -> list[np.ndarray]:
    """The first number and the one after the last, int64, of a part [a, b] of so many pictures: floor(a n) and floor(b n)."""
    # rounded, because 0.29 * 100 is a little under 29
    return [np.floor(np.round(share * counts, 6)).astype(np.int64) for share in fill_range]


def lacking(counts: np.ndarray, fill_to: int | str) -> np.ndarray:
    """Number of pictures that each class, or cell, of `counts` lacks to `fill_to`, int64 [C]; 'max' is the largest of them."""
    return np.maximum(0, (counts.max(initial=0) if fill_to == "max" else fill_to) - counts)


def counted(pictures: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Pictures in each split for each combination of values of the columns `by`, sorted by them.

    Columns: `by`, and one for each split, int64. Combinations without pictures are missing; pictures that lack a value,
    as a group, are not counted. Without a column, as without groups, there are no rows.
    """
    if not set(by) <= set(pictures):
        return pd.DataFrame(columns=[*by, *SPLITS])
    found = pictures.groupby([*by, "split"]).size().unstack("split", fill_value=0)
    return found.reindex(columns=list(SPLITS), fill_value=0).reset_index().rename_axis(columns=None)
