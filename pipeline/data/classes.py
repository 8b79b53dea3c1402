"""The classes of a subset's table, and how many pictures of each there are."""

import numpy as np
import pandas as pd

from pipeline.data.subset import SPLITS


def class_names(pictures: pd.DataFrame) -> np.ndarray:
    """Names by class, object [C]."""
    return pictures.drop_duplicates("class").sort_values("class")["class_name"].to_numpy()


def counts_of(pictures: pd.DataFrame) -> dict[str, np.ndarray]:
    """Pictures of each class, int64 [C], in each split."""
    classes = int(pictures["class"].max()) + 1
    return {
        split: np.bincount(pictures.loc[pictures["split"] == split, "class"], minlength=classes) for split in SPLITS
    }
