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

    Classes with fewer training pictures than `smallest_class` are left out. Of a source without a test split, `test_per_class`
    pictures, a share `test_share`, or one fold of `folds` are held out of each class, and of what is left a share `val_share`. An
    exponential long tail of `imbalance_factor` moves the pictures that it leaves out to `rest`, which is dropped unless
    `settings["rest"]`. Classes are renumbered in order, without gaps. Raises InputError if a class has too few pictures or no
    training picture, if there is no test split, or if there is only one class.
    """
    pictures = pictures.reset_index(drop=True)
    # a position in the source: the same in every long tail
    pictures["key"] = [f"{row:08d}" for row in range(len(pictures))]
    pictures = pictures[~pictures["class_name"].isin(left_out(pictures, settings))].reset_index(drop=True)
    if not len(pictures):
        raise InputError(
            f"no class has the {settings['smallest_class']} training pictures that smallest_class asks for"
        )
    # no gaps, even if a list holds only some of ImageNet's classes
    pictures["class"] = np.unique(pictures["class"], return_inverse=True)[1]
    pictures = _held_out(pictures, settings)
    if settings.get("val_share"):
        pictures = _with_validation(pictures, settings)
    trained = set(pictures.loc[pictures["split"] == "train", "class"])
    if not trained:
        raise InputError("the data set has no train split")
    without = pictures.loc[~pictures["class"].isin(trained), "class_name"].unique()
    if len(without):
        raise InputError(f"{len(without)} classes have no train picture: {', '.join(without[:5])}")
    if pictures["class"].max() == 0:
        raise InputError(
            f"the data set has one class, '{_name(pictures, 0)}', but a classifier needs two; is the folder one level too high?"
        )
    if not (pictures["split"] == "test").any():
        raise InputError(f"the data set has no test split; give one, or hold pictures out: {_REMEDY}")
    if settings.get("imbalance_factor"):
        pictures = _long_tail(pictures, settings)
    if not settings["rest"]:
        pictures = pictures[pictures["split"] != "rest"]
    order = pictures["split"].map(SPLITS.index)
    return pictures.iloc[np.argsort(order, kind="stable")].reset_index(drop=True)


def left_out(pictures: pd.DataFrame, settings: Mapping[str, Any]) -> list[str]:
    """Sorted names of the classes with fewer training pictures in a source's table than `smallest_class`."""
    train = pictures.loc[pictures["split"] == "train", "class_name"].value_counts()
    smallest = settings.get("smallest_class") or 0
    return sorted(name for name in pictures["class_name"].unique() if train.get(name, 0) < smallest)


_REMEDY = (
    "test_share: 0.2 holds out a share of each class, test_per_class: 10 a number, folds: 5 each picture in turn; "
    "smallest_class: 2 leaves out classes with fewer pictures"
)


def _held_out(pictures: pd.DataFrame, settings: Mapping[str, Any]) -> pd.DataFrame:
    """Move training pictures of each class to the test split, as the settings say."""
    chosen = [key for key in ("test_per_class", "test_share", "folds") if settings.get(key)]
    if not chosen:
        return pictures
    if (pictures["split"] == "test").any():
        raise InputError(f"{chosen[0]} is {settings[chosen[0]]}, but the data set has a test split; remove {chosen[0]}")
    train, labels, available = _training(pictures)
    seed = settings["selection_seed"]
    if chosen == ["folds"]:
        return _moved(pictures, train[_fold(pictures, labels, available, settings)], "test")
    if chosen == ["test_share"]:
        counts = _share_of(available, settings["test_share"])
    else:
        per_class = settings["test_per_class"]
        if available.min() <= per_class:
            raise InputError(
                f"test_per_class is {per_class}, but class '{_name(pictures, available.argmin())}' has {available.min()} "
                f"training pictures, and one must stay; {_REMEDY}"
            )
        counts = np.full(len(available), per_class)
    return _moved(pictures, train[select(labels, counts, seed)], "test")


def _with_validation(pictures: pd.DataFrame, settings: Mapping[str, Any]) -> pd.DataFrame:
    """Move a share of the training pictures of each class to the validation split."""
    if (pictures["split"] == "val").any():
        raise InputError(
            f"val_share is {settings['val_share']}, but the data set has a validation split; remove val_share"
        )
    train, labels, available = _training(pictures)
    counts = _share_of(available, settings["val_share"])
    return _moved(pictures, train[select(labels, counts, settings["selection_seed"])], "val")


def _share_of(available: np.ndarray, share: float) -> np.ndarray:
    """Number of pictures of each class: one at least, but never the last one of a class."""
    return np.minimum(np.maximum(np.round(available * share).astype(int), 1), np.maximum(available - 1, 0))


def _fold(pictures: pd.DataFrame, labels: np.ndarray, available: np.ndarray, settings: Mapping[str, Any]) -> np.ndarray:
    """Positions in `labels` of one fold's test pictures: each picture is in one fold, and each class spread over all.

    The shuffled pictures of class after class are dealt out in turn, so that folds differ by at most one picture, of each
    class and in all.
    """
    if available.min() < 2:
        raise InputError(
            f"class '{_name(pictures, available.argmin())}' has {available.min()} training pictures, but folds need two of each "
            "class; smallest_class: 2 leaves out classes with fewer"
        )
    random = np.random.RandomState(settings["selection_seed"])
    dealt = np.concatenate([random.permutation(np.flatnonzero(labels == label)) for label in range(len(available))])
    return np.sort(dealt[settings["fold"] :: settings["folds"]])


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
    splits = pictures["split"].to_numpy(object, copy=True)
    splits[rows] = split
    return pictures.assign(split=splits)


def _name(pictures: pd.DataFrame, label: int) -> str:
    return pictures.loc[pictures["class"] == label, "class_name"].iloc[0]
