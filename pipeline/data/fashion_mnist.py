"""fashion_mnist: 70,000 grey pictures of 28 x 28 in 10 classes (Xiao et al. 2017), from the four IDX files."""

import gzip
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.data.location import Location

FILES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
LOCATION = Location(
    folder="fashion-mnist",
    needs=tuple(f"{name}.gz|{name}" for name in FILES),
    how_to_get="install Debian's dataset-fashion-mnist and set `data_root: /usr/share/datasets`, or put the four files of "
    "github.com/zalandoresearch/fashion-mnist into this folder; for torchvision's copy, set `path: FashionMNIST/raw`",
)
NAMES = ["t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot"]


def open_source(folder: Path, settings: Mapping[str, Any]):
    """The official training and test split. Raises InputError if a file is missing or damaged."""
    from pipeline.data.raw import ArraySource, RawData
    from pipeline.errors import InputError

    LOCATION.require(folder)
    train, train_labels, test, test_labels = (_idx(folder, name) for name in FILES)
    for pictures, labels in ((train, train_labels), (test, test_labels)):
        if len(pictures) != len(labels) or labels.max(initial=0) >= len(NAMES):
            raise InputError(f"{folder} has {len(pictures)} pictures for {len(labels)} labels of {labels.max(initial=0) + 1} classes: "
                             f"{LOCATION.how_to_get}")  # fmt: skip
    return ArraySource(RawData(NAMES, train, train_labels.astype("int64"), test, test_labels.astype("int64")))


def _idx(folder: Path, name: str):
    """Read an IDX file of bytes: magic number 0x0800 + dimensions, big-endian sizes, data."""
    import numpy as np

    from pipeline.errors import InputError

    packed = folder / f"{name}.gz"
    path = packed if packed.is_file() else folder / name
    try:
        data = gzip.decompress(path.read_bytes()) if path == packed else path.read_bytes()
        dimensions = data[3]
        sizes = np.frombuffer(data, ">u4", dimensions, offset=4).astype(int)
        if data[:3] != b"\0\0\x08" or dimensions != (3 if "images" in name else 1):
            raise ValueError("not an IDX file of bytes")
        return np.frombuffer(data, np.uint8, offset=4 + 4 * dimensions).reshape(sizes)
    except (OSError, EOFError, ValueError, IndexError, zlib.error) as error:
        raise InputError(f"{path} is damaged ({error}): {LOCATION.how_to_get}") from None
