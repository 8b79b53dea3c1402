"""The interface of raw data sets. Each source is a module of this package with `open_source(folder, settings) -> Source`."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
import pandas as pd

from pipeline.artifacts.pictures import encode
from pipeline.data.files import Skipped
from pipeline.errors import InputError


class Source(Protocol):
    """A raw data set. Listing and reading are separate, so that a job that stores a few pictures need not list all."""

    def pictures(self) -> pd.DataFrame:
        """A table with a row for each picture, in an order that does not depend on the file system.

        Columns: source (text that `read` understands), class (int, from 0), class_name, split ("train", "val", "test" or
        "rest"), group (text) if pictures have groups, and context (text) if a group is a
        class in a context. Raises InputError if files are missing.
        """
        ...

    def skipped(self) -> list[tuple[str, int, str]]:
        """What `pictures` has left out: kind, number, and which."""
        ...

    def read(self, source: str) -> bytes:
        """The bytes of a picture's file. Raises OSError if it cannot be read."""
        ...


class RawData(NamedTuple):
    """A data set in memory: labels int64 [N], pictures uint8 [N, H, W, 3], or [N, H, W] if they are grey."""

    class_names: list[str]
    train_pictures: np.ndarray
    train_labels: np.ndarray
    test_pictures: np.ndarray
    test_labels: np.ndarray


class ArraySource:
    """A `RawData` as a `Source`. The source `train/17` is the training picture at position 17, as a PNG file."""

    def __init__(self, data: RawData):
        self.data = data
        self._names = np.array(data.class_names)
        self._splits = {
            "train": (data.train_pictures, data.train_labels),
            "test": (data.test_pictures, data.test_labels),
        }

    def pictures(self) -> pd.DataFrame:
        tables = []
        for split, (_, labels) in self._splits.items():
            source = [f"{split}/{position}" for position in range(len(labels))]
            tables.append(pd.DataFrame({"source": source, "class": labels, "split": split}))
        table = pd.concat(tables, ignore_index=True)
        return table.assign(class_name=self._names[table["class"]])

    def skipped(self) -> list[tuple[str, int, str]]:
        return []

    def read(self, source: str) -> bytes:
        split, position = source.split("/")
        return encode(self._splits[split][0][int(position)])


class FileSource:
    """Picture files below `root`. `listing(skipped)` gives the table of `Source.pictures`, with paths relative to `root`.

    What it leaves out, it counts in `skipped`.
    """

    def __init__(self, root: Path, listing: Callable[[Skipped], pd.DataFrame]):
        self._root, self._listing, self._skipped = root, listing, Skipped()

    def pictures(self) -> pd.DataFrame:
        self._skipped = Skipped()
        return self._listing(self._skipped)

    def skipped(self) -> list[tuple[str, int, str]]:
        return self._skipped.rows()

    def read(self, source: str) -> bytes:
        # there may be millions of small files, and open() and read() take 1.5 times as long
        descriptor = os.open(f"{self._root}/{source}", os.O_RDONLY | os.O_NONBLOCK)  # a pipe would wait for ever
        try:
            size = os.fstat(descriptor).st_size
            data = os.read(descriptor, size)
            # over a network, a file may come in pieces
            while len(data) < size and (more := os.read(descriptor, size - len(data))):
                data += more
            return data
        finally:
            os.close(descriptor)


def read_exactly(path: Path, size: int, how_to_get: str) -> bytes:
    """The bytes of a raw file of known size. Raises InputError if it is missing, truncated or too long."""
    if not path.is_file():
        raise InputError(f"{path} is missing: {how_to_get}")
    if path.stat().st_size != size:
        raise InputError(f"{path} has {path.stat().st_size} bytes instead of {size}: {how_to_get}")
    return path.read_bytes()
