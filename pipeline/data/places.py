"""places: Places-LT, chosen from Places365's standard folders by the official lists (Liu et al. 2019)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.data.location import Location

LISTS = {"train": "Places_LT_train.txt", "val": "Places_LT_val.txt", "test": "Places_LT_test.txt"}
LOCATION = Location(
    folder="places365_standard",
    needs=("train", "val", *LISTS.values()),
    how_to_get="unpack places365standard_easyformat.tar from places2.csail.mit.edu, and put Places_LT_train.txt, "
    "Places_LT_val.txt and Places_LT_test.txt, the lists of Liu et al. 2019 (OpenLongTailRecognition), beside train/ and val/",
)


def open_source(folder: Path, settings: Mapping[str, Any]):
    """Train (62,500 pictures of 365 classes), val and test as listed; with `rest`, also the other pictures of these folders."""
    from pipeline.data.raw import FileSource

    return FileSource(folder, lambda skipped: _listed(folder, settings["rest"], skipped))


def _listed(folder: Path, rest: bool, skipped: Any):
    import pandas as pd

    from pipeline.data.files import others, read_list, require_files
    from pipeline.errors import InputError

    LOCATION.require(folder)
    table = pd.concat([read_list(folder / name, split) for split, name in LISTS.items()], ignore_index=True)
    require_files(folder, table, "Places-LT")
    names = table["source"].str.split("/").str[1:-1].str.join(" ").str.replace("_", " ")
    of_label = names.groupby(table["class"]).first()
    wrong = table.loc[names != table["class"].map(of_label), "source"]
    if len(wrong):
        raise InputError(
            f"{folder}: the lists give pictures of different folders one label (first: {wrong.iloc[0]}); use the lists of Liu et al. 2019"
        )
    if rest:
        folders = table["source"].str.rpartition("/")[0].str.partition("/")[2].groupby(table["class"]).first()
        table = pd.concat([table, others(folder, "train", folders.to_dict(), table, skipped)], ignore_index=True)
    return table.assign(class_name=table["class"].map(of_label))
