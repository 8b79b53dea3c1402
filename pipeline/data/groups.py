"""The groups of a subset's pictures: their names, and their numbers, the same wherever groups are numbered."""

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
