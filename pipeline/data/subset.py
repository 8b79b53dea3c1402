"""The choice of a source's pictures and their splits: long tails, held-out test pictures, and the order of storage."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from pipeline.data.long_tail import exponential_counts, select
from pipeline.errors import InputError

SPLITS = ("train", "val", "test", "rest")


def subset(pictures: pd.DataFrame, settings: Mapping[str, Any]) -> pd.DataFrame:
    """Give a source's table its final splits, a column `key`, and the order in which pictures are stored.

    `test_per_class` training pictures of each class are held out if the source has no test split. An exponential long tail
    of `imbalance_factor` moves the pictures that it leaves out to `rest`, which is dropped unless `settings["rest"]`. Classes
    are renumbered in order, without gaps. Raises InputError if a class has too few pictures, no training picture or no test
    picture, or if there is only one class.
    """
    pictures = pictures.reset_index(drop=True)
    # a position in the source: the same in every long tail
    pictures["key"] = [f"{row:08d}" for row in range(len(pictures))]
    # no gaps, even if a list holds only some of ImageNet's classes
    pictures["class"] = np.unique(pictures["class"], return_inverse=True)[1]
    if settings.get("test_per_class"):
        pictures = _hold_out(pictures, settings["test_per_class"], settings["selection_seed"])
    for split, remedy in (("train", ""), ("test", "; give one, or set test_per_class to hold pictures out")):
        there = set(pictures.loc[pictures["split"] == split, "class"])
        if not there:
            raise InputError(f"the data set has no {split} split{remedy}")
        without = pictures.loc[~pictures["class"].isin(there), "class_name"].unique()
        if len(without):
            raise InputError(f"{len(without)} classes have no {split} picture: {', '.join(without[:5])}")
    if pictures["class"].max() == 0:
        raise InputError(
            f"the data set has one class, '{_name(pictures, 0)}', but a classifier needs two; is the folder one level too high?"
        )
    if settings.get("imbalance_factor"):
        pictures = _long_tail(pictures, settings)
    if not settings["rest"]:
        pictures = pictures[pictures["split"] != "rest"]
    order = pictures["split"].map(SPLITS.index)
    return pictures.iloc[np.argsort(order, kind="stable")].reset_index(drop=True)


def _hold_out(pictures: pd.DataFrame, per_class: int, seed: int) -> pd.DataFrame:
    """Move `per_class` training pictures of every class to the test split."""
    if (pictures["split"] == "test").any():
        raise InputError(f"test_per_class is {per_class}, but the data set has a test split; remove test_per_class")
    train, labels, available = _training(pictures)
    if available.min() <= per_class:
        raise InputError(
            f"test_per_class is {per_class}, but class '{_name(pictures, available.argmin())}' has {available.min()} "
            f"training pictures; at most {max(available.min() - 1, 0)} is allowed"
        )
    return _moved(pictures, train[select(labels, np.full(len(available), per_class), seed)], "test")


def _long_tail(pictures: pd.DataFrame, settings: Mapping[str, Any]) -> pd.DataFrame:
    train, labels, available = _training(pictures)
    largest = settings.get("largest_class") or int(available.max())
    counts = exponential_counts(largest, len(available), settings["imbalance_factor"])
    short = np.flatnonzero(counts > available)
    if len(short):
        most = int((available * largest / counts).min())
        raise InputError(
            f"imbalance_factor {settings['imbalance_factor']:g} from {largest} needs {counts[short[0]]} training pictures of class "
            f"'{_name(pictures, short[0])}', which has {available[short[0]]}; set largest_class to {most} or less"
        )
    return _moved(pictures, np.setdiff1d(train, train[select(labels, counts, settings["selection_seed"])]), "rest")


def _training(pictures: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Positions of training pictures, their labels, and how many each class has."""
    train = np.flatnonzero(pictures["split"] == "train")
    labels = pictures["class"].to_numpy()[train]
    return train, labels, np.bincount(labels, minlength=int(pictures["class"].max()) + 1)


def _moved(pictures: pd.DataFrame, rows: np.ndarray, split: str) -> pd.DataFrame:
    splits = pictures["split"].to_numpy(object)
    splits[rows] = split
    return pictures.assign(split=splits)


def _name(pictures: pd.DataFrame, label: int) -> str:
    return pictures.loc[pictures["class"] == label, "class_name"].iloc[0]
