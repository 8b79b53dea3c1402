"""image_folder: the user's own pictures, in one folder for each class or listed in a table."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.data.location import Location

LOCATION = Location(
    folder="",
    needs=(".",),
    how_to_get="set the data set's `path` to the folder of its pictures, below the data root, and `table`, if given, to a file in it",
)
SPLITS = ("train", "val", "test")
SPELLINGS = {
    **{"train": "train", "training": "train"},
    **{"val": "val", "valid": "val", "validation": "val"},
    **{"test": "test", "testing": "test"},
}
"""Names of folders, in lower case, that are splits and not classes -> the split."""


def open_source(folder: Path, settings: Mapping[str, Any]):
    """Class folders, or a `table`: a CSV or Parquet file in `folder` with columns path and class, and perhaps group or context, and split.

    Folders named train, val and test are splits, and hold the class folders, unless `splits` is false. Without them, all
    pictures are for training.
    """
    from pipeline.data.picture_table import listed
    from pipeline.data.raw import FileSource

    if settings.get("table"):
        return FileSource(folder, lambda _: listed(folder, settings["table"]))
    return FileSource(folder, lambda skipped: _folders(folder, settings["splits"], skipped))


def has_validation_and_groups(folder: Path, settings: Mapping[str, Any]) -> tuple[bool, bool]:
    """Whether there are validation pictures, and groups, without a look at the pictures."""
    from pipeline.data.files import class_folders
    from pipeline.data.picture_table import listed

    if not settings.get("table"):
        names = class_folders(folder)
        return settings["splits"] and "val" in dict(_splits(folder, names)), False
    table = listed(folder, settings["table"])
    return "val" in table["split"].values, "group" in table and bool(table["group"].notna().any())


def _folders(folder: Path, with_splits: bool, skipped: Any):
    import pandas as pd

    from pipeline.data.files import class_folders, pictures_below, require_distinct

    LOCATION.require(folder)
    names = class_folders(folder, skipped)
    splits = _splits(folder, names) if with_splits else []
    inside = {below: class_folders(folder / below, skipped) for _, below in splits} or {"": names}
    splits = splits or [("train", "")]
    classes = sorted({name for names in inside.values() for name in names})
    require_distinct(classes, str(folder))
    labels = {name: label for label, name in enumerate(classes)}
    rows = []
    for split, below in splits:
        for name in inside[below]:
            rows += [
                (f"{below}{name}/{picture}", labels[name], name, split)
                for picture in pictures_below(folder / below / name, skipped)
            ]
    return pd.DataFrame(rows, columns=["source", "class", "class_name", "split"])


def _splits(folder: Path, names: list[str]) -> list[tuple[str, str]]:
    """(split, its folder and /) if the folders in `folder` are splits; none if they are classes."""
    from pipeline.errors import InputError

    found = {name: SPELLINGS[name.casefold()] for name in names if name.casefold() in SPELLINGS}
    if not found or not (len(found) == len(names) or set(names) & set(SPLITS)):
        return []
    others = [name for name in names if name not in found]
    if others:
        raise InputError(
            f"{folder} has folders of splits ({next(iter(found))}) and of classes ({others[0]}) side by side; move one of them, "
            "or set `splits: false` in the data set if all of them are classes"
        )
    for split in SPLITS:
        twice = [name for name in names if found[name] == split]
        if len(twice) > 1:
            raise InputError(
                f"{folder} has the folders {' and '.join(twice)} for one split; merge them, or set `splits: false` in the "
                "data set if they are classes"
            )
    if "train" not in found.values():
        raise InputError(
            f"{folder} has the folders {', '.join(names)}, which are splits, but no folder train; "
            "set `splits: false` in the data set if they are classes"
        )
    return [(found[name], f"{name}/") for split in SPLITS for name in names if found[name] == split]
