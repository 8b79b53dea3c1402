"""digits: the 1,797 real handwritten digits, 8 x 8, that come with scikit-learn (UCI optical recognition)."""

from pathlib import Path

import numpy as np

from pipeline.data.raw import RawData

TRAIN_PER_CLASS = 120


def read(root: Path) -> RawData:
    """120 training pictures a class and 50 test pictures a class, drawn once for all; `root` is not used.

    Grey levels 0..16 become 0..255.
    """
    from sklearn.datasets import load_digits

    pictures, labels = load_digits(return_X_y=True)
    pictures = np.round(pictures.reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)
    random = np.random.RandomState(0)
    shuffled = [random.permutation(np.flatnonzero(labels == digit)) for digit in range(10)]
    train = np.concatenate([rows[:TRAIN_PER_CLASS] for rows in shuffled])
    test = np.concatenate([rows[TRAIN_PER_CLASS : TRAIN_PER_CLASS + 50] for rows in shuffled])
    names = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
    return RawData(
        names, pictures[train], labels[train].astype(np.int64), pictures[test], labels[test].astype(np.int64)
    )
