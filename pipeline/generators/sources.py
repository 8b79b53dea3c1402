"""The real picture that each row of a plan starts from, and how much of it is lost."""

import numpy as np
import pandas as pd

from pipeline.errors import InputError
from pipeline.generators.plan import row_seeds

_SOURCE, _STRENGTH = 1, 2


class Sources:
    """The real training pictures of each class, of which every row gets one.

    training: a manifest's training pictures, in order (class, key). seed: the pool's.
    """

    def __init__(self, training: pd.DataFrame, seed: int):
        by_class = training.sort_values("class", kind="stable")
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

    def of(self, classes: np.ndarray, indices: np.ndarray) -> np.ndarray:
        """Keys of the rows' pictures, object [N]; they depend only on (pool seed, class, index) and the class's pictures.

        All pictures of a class take turns, in each round in another random order, so that each is used equally often.
        """
        found = np.empty(len(classes), object)
        for label in np.unique(classes):
            here = np.flatnonzero(classes == label)
            count = self._counts[label]
            rounds, which = np.unique(indices[here] // count, return_inverse=True)
            turns = (rounds.astype(np.int64)[:, None] * count + np.arange(count)).ravel()
            numbers = _numbers(_SOURCE, self._seed, np.full(len(turns), label), turns)
            orders = np.argsort(numbers.reshape(len(rounds), count), axis=1, kind="stable")
            found[here] = self._keys[self._starts[label] + orders[which, indices[here] % count]]
        return found


def strengths(seed: int, classes: np.ndarray, indices: np.ndarray, low: float, high: float) -> np.ndarray:
    """A strength for each row, uniform in [low, high), float64 [N], that depends only on (pool seed, class, index)."""
    shares = _numbers(_STRENGTH, seed, classes, indices) / 2.0**63
    return low + shares * (high - low)


def _numbers(purpose: int, seed: int, classes: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """Random numbers of the rows for one purpose, int64 in 0..2^63-1, apart from their seeds."""
    return row_seeds(seed, classes, indices, np.full(len(classes), purpose, np.uint64))
