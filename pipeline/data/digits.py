"""digits: the 1,797 real handwritten digits, 8 x 8, that come with scikit-learn (UCI optical recognition)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.data.location import Location

LOCATION = Location(folder="")
TRAIN_PER_CLASS = 120
NAMES = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]


def open_source(folder: Path, settings: Mapping[str, Any]):
    """120 training and 50 test pictures of each class, drawn with a fixed seed. `folder` is not used.

    Grey levels 0..16 are scaled to 0..255.
    """
    import numpy as np
    from sklearn.datasets import load_digits

    from pipeline.data.raw import ArraySource

    pictures, labels = load_digits(return_X_y=True)
    pictures = np.round(pictures.reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)
    return ArraySource(split(pictures, labels.astype(np.int64), TRAIN_PER_CLASS, 50))


def split(pictures, labels, train: int, test: int):
    """`RawData` with so many training and test pictures of each digit, drawn with a fixed seed."""
    import numpy as np

    from pipeline.data.raw import RawData

    random = np.random.RandomState(0)
    shuffled = [random.permutation(np.flatnonzero(labels == digit)) for digit in range(10)]
    drawn = (np.concatenate([rows[part] for rows in shuffled]) for part in (slice(train), slice(train, train + test)))
    return RawData(NAMES, *(array[rows] for rows in drawn for array in (pictures, labels)))
