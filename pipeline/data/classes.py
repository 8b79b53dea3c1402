"""The classes of a subset's table, and how many pictures there are of each, or of each cell."""

import numpy as np
import pandas as pd

from pipeline.data.subset import SPLITS


def class_names(pictures: pd.DataFrame) -> np.ndarray:
    """Class names in the order of the labels, object [C]."""
    return pictures.drop_duplicates("class").sort_values("class")["class_name"].to_numpy()


def counts_of(pictures: pd.DataFrame) -> dict[str, np.ndarray]:
    """Split -> pictures of each class, int64 [C]."""
    classes = int(pictures["class"].max()) + 1
    return {
        split: np.bincount(pictures.loc[pictures["split"] == split, "class"], minlength=classes) for split in SPLITS
    }


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
