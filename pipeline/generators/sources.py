"""The real picture that each row of a plan starts from, and how much of it is lost."""

import numpy as np
import pandas as pd

from pipeline.errors import InputError
from pipeline.generators.plan import row_seeds

_SOURCE, _STRENGTH, _CHOSEN = 1, 2, 3


class Sources:
    """The real training pictures of each class, of which every row gets one.

    training: a manifest's training pictures, in order (class, key). seed: the pool's. most: "all", or how many pictures of a class serve,
    chosen at random.
    """

    def __init__(self, training: pd.DataFrame, seed: int, most: int | str = "all"):
        by_class = training.sort_values("class", kind="stable")
        if most != "all":
            place = by_class.groupby("class").cumcount().to_numpy()
            order = pd.Series(_numbers(_CHOSEN, seed, by_class["class"].to_numpy(), place, None), by_class.index)
            by_class = by_class[(order.groupby(by_class["class"]).rank() <= most)]
        self._keys = by_class["key"].to_numpy(object)
        self._counts = np.bincount(by_class["class"])
        self._starts = np.cumsum(self._counts) - self._counts
        self._seed = seed

    def require(self, wanted: np.ndarray, names: np.ndarray) -> None:
        """Raise InputError if a class has no training picture, but pictures are `wanted`, int64 [C]. `names`: object [C]."""
        counts = np.pad(self._counts, (0, len(wanted) - len(self._counts)))
        lacking = names[(counts == 0) & (wanted > 0)]
        if len(lacking):
            more = f" and {len(lacking) - 1} more classes" if lacking[1:].size else ""
            raise InputError(
                f"{lacking[0]}{more} has no real training picture to start from; leave such classes out of the data set, or"
                " draw this pool with a text_to_image generator"
            )

    def of(self, classes: np.ndarray, indices: np.ndarray, groups: np.ndarray | None = None) -> np.ndarray:
        """Keys of the rows' pictures, object [N]; they depend only on (pool seed, class, group, index) and the class's pictures.

        All pictures of a class take turns, in each round in another random order, so that each is used equally often. Each group
        (hashes of their names, uint64 [N]) has them all, whatever their own groups, as LDM-FG does for NICO++ (Sec. 4.2).
        """
        found = np.empty(len(classes), object)
        cells = pd.DataFrame({"class": classes, "group": 0 if groups is None else groups})
        for (label, group), here in cells.groupby(["class", "group"], sort=False).indices.items():
            count = self._counts[label]
            rounds, which = np.unique(indices[here] // count, return_inverse=True)
            turns = (rounds.astype(np.int64)[:, None] * count + np.arange(count)).ravel()
            own = None if groups is None else np.full(len(turns), group, np.uint64)
            numbers = _numbers(_SOURCE, self._seed, np.full(len(turns), label), turns, own)
            orders = np.argsort(numbers.reshape(len(rounds), count), axis=1, kind="stable")
            found[here] = self._keys[self._starts[label] + orders[which, indices[here] % count]]
        return found


def strengths(
    seed: int, classes: np.ndarray, indices: np.ndarray, groups: np.ndarray | None, low: float, high: float
) -> np.ndarray:
    """A strength for each row, uniform in [low, high), float64 [N], that depends only on (pool seed, class, group, index)."""
    shares = _numbers(_STRENGTH, seed, classes, indices, groups) / 2.0**63
    return low + shares * (high - low)


def _numbers(
    purpose: int, seed: int, classes: np.ndarray, indices: np.ndarray, groups: np.ndarray | None
) -> np.ndarray:
    """Random numbers of the rows for one purpose, int64 in 0..2^63-1, apart from their seeds."""
    purposes = np.full(len(classes), purpose, np.uint64)
    return row_seeds(seed, classes, indices, purposes if groups is None else groups ^ purposes)
