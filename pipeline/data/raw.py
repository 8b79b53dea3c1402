"""What every raw data set gives: each source is a module of this package with `read(root) -> RawData`."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from pipeline.errors import InputError


class RawData(NamedTuple):
    """A balanced data set in memory; labels are int64 [N], pictures uint8 [N, H, W, 3] or grey [N, H, W]."""

    class_names: list[str]
    train_pictures: np.ndarray
    train_labels: np.ndarray
    test_pictures: np.ndarray
    test_labels: np.ndarray


def read_exactly(path: Path, size: int, how_to_get: str) -> bytes:
    """The bytes of a raw file of known size; InputError where it is missing, cut short or too long."""
    if not path.is_file():
        raise InputError(f"{path} is missing: {how_to_get}")
    if path.stat().st_size != size:
        raise InputError(f"{path} has {path.stat().st_size} bytes instead of {size}: {how_to_get}")
    return path.read_bytes()
