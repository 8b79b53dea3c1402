"""Predictions for picture files of no data set: they are stored for a moment and read as evaluation reads pictures."""

import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from pipeline.artifacts import shards
from pipeline.classifiers import network
from pipeline.classifiers.input.reader import open_pictures, to_batch
from pipeline.data.stored import records
from pipeline.errors import InputError

TOP = 5
"""Classes that are named for each picture, if there are as many."""


class Predictor:
    """A trained classifier for picture files. Raises InputError if the weights are missing, damaged or of an older version."""

    def __init__(self, weights: Path, device: torch.device):
        self._network, self._device = network.load(weights, device), device
        about = network.outcome(weights)
        if "class_names" not in about:
            raise InputError(
                f"{weights} is of an earlier version, without the names of its classes; train the classifier again"
            )
        self._names = np.array(about["class_names"], object)
        self._size, self._stored = tuple(about["picture_size"]), about["settings"]["stored"]

    def predict(self, files: Sequence[str]) -> tuple[pd.DataFrame, dict[str, str]]:
        """Predictions for files of pictures of any size, and the reason for each file that cannot be read.

        Columns: file, class (the likeliest, by name), probability, and class_2, probability_2 to class_5, probability_5.
        All files are in memory together, scaled. Raises InputError for a size that the classifier cannot take.
        """
        rejected: list[dict] = []
        rows = ({"key": f"{row:08d}", "class": 0, "source": str(row)} for row in range(len(files)))
        with tempfile.TemporaryDirectory() as folder:
            side, levels = self._stored["store_side"], self._stored.get("levels")
            stored = records(rows, _Loose(files), side, rejected, levels)
            index = shards.write(Path(folder, "pictures.tar"), stored)
            _, logits = self._network.predict(self._open(index, Path(folder)))
        chances, classes = logits.double().softmax(1).topk(min(TOP, len(self._names)))
        table = pd.DataFrame({"file": pd.Series([files[int(key)] for key in index["key"]], dtype=object)})
        for place, (chance, number) in enumerate(zip(chances.T.numpy(), classes.T.numpy(), strict=True), 1):
            ending = f"_{place}" if place > 1 else ""
            table[f"class{ending}"], table[f"probability{ending}"] = self._names[number], chance
        return table, {files[int(row["source"])]: row["reason"] for row in rejected}

    def _open(self, index: pd.DataFrame, folder: Path):
        """The stored pictures, of the side of the training pictures, which may be the side that those were stored in."""
        if self._network.side or not len(index):
            return open_pictures([(index, folder)], self._network.side, self._device)
        height, width = self._size
        pictures = shards.read_pictures(index, folder, height if height == width else None)
        if pictures.shape[1:3] != self._size:
            raise InputError(
                f"the pictures are {pictures.shape[2]} x {pictures.shape[1]} pixels, but the classifier was trained on "
                f"{width} x {height}; scale them, or train a classifier that has a side"
            )
        return to_batch(pictures, self._device)


class _Loose:
    """Files as a `Source`: the source `17` is the file at position 17, because not every name is text."""

    def __init__(self, files: Sequence[str]):
        self._files = files

    def read(self, source: str) -> bytes:
        return Path(self._files[int(source)]).read_bytes()
