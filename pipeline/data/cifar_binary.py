"""The files of CIFAR-10's and CIFAR-100's binary version (Krizhevsky 2009)."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pipeline.data.location import Location
from pipeline.data.raw import RawData, read_exactly
from pipeline.errors import InputError

PIXELS = 3 * 32 * 32


def read(folder: Path, location: Location, train: Sequence[str], test: str, names: str, label_bytes: int) -> RawData:
    """Read the files `train` and `test`, and the file of class names, from `folder`.

    A record is `label_bytes` bytes of labels, the last of which is the class, and 3,072 bytes of levels, channel first.
    Raises InputError if a file is missing, truncated or too long, or if a label has no class name.
    """
    location.require(folder)
    class_names = (folder / names).read_text(encoding="utf-8").split()
    records = 50_000 // len(train)
    batches = [_records(folder / name, records, label_bytes, location) for name in train]
    train_pictures, train_labels = (np.concatenate(arrays) for arrays in zip(*batches, strict=True))
    test_pictures, test_labels = _records(folder / test, 10_000, label_bytes, location)
    if max(train_labels.max(), test_labels.max()) >= len(class_names):
        raise InputError(
            f"{folder} holds labels beyond the {len(class_names)} classes of {names}: {location.how_to_get}"
        )
    return RawData(class_names, train_pictures, train_labels, test_pictures, test_labels)


def _records(path: Path, count: int, label_bytes: int, location: Location) -> tuple[np.ndarray, np.ndarray]:
    data = read_exactly(path, count * (label_bytes + PIXELS), location.how_to_get)
    rows = np.frombuffer(data, np.uint8).reshape(count, label_bytes + PIXELS)
    pictures = rows[:, label_bytes:].reshape(count, 3, 32, 32).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(pictures), rows[:, label_bytes - 1].astype(np.int64)
