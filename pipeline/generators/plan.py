"""The plan of a pool: one row for each picture to generate, independent of the number of rows.

So any rows can be computed alone, and a plan of millions only needs memory for its cells: classes, or their groups.
"""

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from pipeline.data.classes import lacking, part_of
from pipeline.data.groups import name_hashes
from pipeline.data.shots import shots
from pipeline.errors import InputError

_MIX = (np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB))


class Plan:
    """Rows to sample for a subset, computed on demand.

    `cells` has a row for each class, or each group of each class: class, train (its training pictures), and whatever its rows
    have too; if a cell is one group of a class, group (text).

    DiffuLT Sec. 3.2: cell c gets max(0, N_t - n_c) pictures, n_c of its own, with N_t = settings["fill_to"] ('max': the largest
    cell); or settings["per_class"] pictures. A cell's own count decides its shot; only cells of settings["shots"], and of
    settings["classes"] (names, or None), get pictures. Of n pictures, `fill_range` [a, b] holds indices floor(a n) to floor(b n).
    Of settings["surplus"] s, ceil(s n) more come after all n, and the range holds the same part of them.
    """

    def __init__(self, settings: Mapping[str, Any], cells: pd.DataFrame):
        counts = cells["train"].to_numpy(np.int64)
        asked_for = np.isin(shots(counts), settings["shots"]) & _of_classes(settings["classes"], cells)
        self._cells = cells.drop(columns="train").astype({"class": np.int32})
        self._groups = name_hashes(cells["group"]) if "group" in cells else None
        wanted = np.full(len(counts), settings["per_class"] or 0)
        if settings["fill_to"] is not None:
            wanted = lacking(counts, settings["fill_to"])
        wanted = np.where(asked_for, wanted, 0)
        # rounded, because 0.07 * 100 is a little over 7
        more = np.ceil(np.round(settings["surplus"] * wanted, 6)).astype(np.int64)
        (self._low, high), (from_, to) = (part_of(count, settings["fill_range"]) for count in (wanted, more))
        self._asked = high - self._low
        self._surplus = settings["surplus"] > 0
        self._skipped = wanted + from_ - high
        self.per_cell = self._asked + to - from_
        """Number of pictures of each cell, with the surplus, int64."""
        self.per_class = np.bincount(self._cells["class"], weights=self.per_cell).astype(np.int64)
        """Number of pictures of each class, with the surplus, int64."""
        self._ends = np.cumsum(self.per_cell)
        self._seed = settings["seed"]

    def __len__(self) -> int:
        return int(self._ends[-1])

    def rows(self, start: int, stop: int) -> pd.DataFrame:
        """Rows start to stop - 1, ordered by cell and index.

        Columns: class (int32), the cells' others, index (int32, within the cell), seed (int64, not negative)
        and, if there is a surplus, surplus (bool): whether the row is of it.
        """
        places = np.arange(start, min(stop, len(self)))
        cells = np.searchsorted(self._ends, places, side="right")
        within = places - (self._ends - self.per_cell)[cells]
        of_surplus = within >= self._asked[cells]
        indices = within + self._low[cells] + of_surplus * self._skipped[cells]
        rows = self._cells.iloc[cells].reset_index(drop=True)
        groups = None if self._groups is None else self._groups[cells]
        seeds = row_seeds(self._seed, rows["class"].to_numpy(), indices, groups)
        rows = rows.assign(index=indices.astype(np.int32), seed=seeds)
        return rows.assign(surplus=of_surplus) if self._surplus else rows


def _of_classes(names: Sequence[str] | None, cells: pd.DataFrame) -> np.ndarray:
    """Whether each cell is of one of the classes, bool [cells]. Raises InputError for an unknown class."""
    if names is None:
        return np.full(len(cells), True)
    known = cells["class_name"].unique().tolist()
    for name in names:
        if name not in known:
            (near,) = difflib.get_close_matches(name, known, n=1) or known[:1]
            raise InputError(
                f"the pool asks for the class '{name}', but the data set has no such class; correct classes, for example to '{near}'"
            )
    return cells["class_name"].isin(names).to_numpy()


def row_seeds(pool_seed: int, classes: np.ndarray, indices: np.ndarray, groups: np.ndarray | None = None) -> np.ndarray:
    """A seed for each row, int64 in 0..2^63-1, that depends only on (pool seed, class, index).

    Each of the three is mixed in with the finaliser of SplitMix64 (Steele et al. 2014). With groups, it depends on
    (pool seed, class, group, index), mixed in this order. `groups` are hashes of the names, uint64 [rows], so other groups
    make no difference.
    """
    values = [np.uint64(pool_seed), classes.astype(np.uint64), indices.astype(np.uint64)]
    if groups is not None:
        values.insert(2, groups)
    with np.errstate(over="ignore"):
        state = np.zeros(len(classes), np.uint64)
        for value in values:
            state = state * np.uint64(0x9E3779B97F4A7C15) + value + np.uint64(0x9E3779B97F4A7C15)
            state = (state ^ (state >> np.uint64(30))) * _MIX[0]
            state = (state ^ (state >> np.uint64(27))) * _MIX[1]
            state ^= state >> np.uint64(31)
    return (state >> np.uint64(1)).astype(np.int64)
