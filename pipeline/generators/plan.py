"""The plan of a pool: one row for each picture to make, each independent of how many there are.

So any rows can be had alone, and a plan of millions takes the memory of its classes.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from pipeline.data.long_tail import shots

_MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))


class Plan:
    """Rows to sample for a subset with `counts` training pictures a class, worked out as they are asked for.

    DiffuLT Sec. 3.2: class c gets max(0, N_t - counts[c]) pictures, with N_t = settings["fill_to"] ('max': the largest
    class); or settings["per_class"] pictures. Of these, `fill_range` [a, b] holds indices floor(a n) to floor(b n).
    """

    def __init__(self, settings: Mapping[str, Any], counts: np.ndarray):
        wanted = np.full(len(counts), settings["per_class"] or 0)
        if settings["fill_to"] is not None:
            fill_to = counts.max() if settings["fill_to"] == "max" else settings["fill_to"]
            wanted = np.maximum(0, fill_to - counts)
        wanted = np.where(np.isin(shots(counts), settings["shots"]), wanted, 0)
        self._low, high = (np.floor(share * wanted).astype(np.int64) for share in settings["fill_range"])
        self.per_class = high - self._low
        """Pictures of each class, int64."""
        self._ends = np.cumsum(self.per_class)
        self._seed = settings["seed"]

    def __len__(self) -> int:
        return int(self._ends[-1])

    def rows(self, start: int, stop: int) -> pd.DataFrame:
        """Rows start to stop, ordered by class and index: class (int32), index (int32, within the class), seed (int64,
        not negative)."""
        places = np.arange(start, min(stop, len(self)))
        classes = np.searchsorted(self._ends, places, side="right")
        indices = places - (self._ends - self.per_class - self._low)[classes]
        seeds = row_seeds(self._seed, classes, indices)
        return pd.DataFrame({"class": classes.astype(np.int32), "index": indices.astype(np.int32), "seed": seeds})


def row_seeds(pool_seed: int, classes: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """A seed in 0..2^63-1 for each row, int64, that depends on (pool seed, class, index) alone.

    Each of the three is mixed in with the finaliser of SplitMix64 (Steele et al. 2014).
    """
    with np.errstate(over="ignore"):
        state = np.zeros(len(classes), np.uint64)
        for value in (np.uint64(pool_seed), classes.astype(np.uint64), indices.astype(np.uint64)):
            state = state * np.uint64(0x9E3779B97F4A7C15) + value + np.uint64(0x9E3779B97F4A7C15)
            state = (state ^ (state >> np.uint64(30))) * _MIX[0]
            state = (state ^ (state >> np.uint64(27))) * _MIX[1]
            state ^= state >> np.uint64(31)
    return (state >> np.uint64(1)).astype(np.int64)
