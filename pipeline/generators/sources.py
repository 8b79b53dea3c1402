"""The real picture that each row of a plan starts from, and how much of it is lost."""

import numpy as np
import pandas as pd

from pipeline.errors import InputError
from pipeline.generators.plan import row_seeds
from pipeline.seeds import mixed_seed

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
        self._seed = mixed_seed(seed, _SOURCE)

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
        counts = self._counts[classes]
        rounds = indices // counts
        for label, number in np.unique(np.stack([classes, rounds], axis=1), axis=0):
            here = (classes == label) & (rounds == number)
            count = self._counts[label]
            turns = number * count + np.arange(count)
            order = np.argsort(row_seeds(self._seed, np.full(count, label), turns), kind="stable")
            found[here] = self._keys[self._starts[label] + order[indices[here] % count]]
        return found


def strengths(seed: int, classes: np.ndarray, indices: np.ndarray, low: float, high: float) -> np.ndarray:
    """A strength for each row, uniform in [low, high), float64 [N], that depends only on (pool seed, class, index)."""
    shares = row_seeds(mixed_seed(seed, _STRENGTH), classes, indices) / 2.0**63
    return low + shares * (high - low)
