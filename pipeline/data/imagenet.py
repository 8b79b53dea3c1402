"""imagenet: ImageNet-LT, chosen from ImageNet-1K's folders by the official lists (Liu et al. 2019)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.data.location import Location

LISTS = {"train": "ImageNet_LT_train.txt", "val": "ImageNet_LT_val.txt", "test": "ImageNet_LT_test.txt"}
LOCATION = Location(
    folder="imagenet",
    needs=("train", "val", *LISTS.values()),
    how_to_get="unpack ILSVRC2012_img_train.tar from image-net.org as train/, with one folder for each WordNet id, and "
    "ILSVRC2012_img_val.tar as val/; put the lists of Liu et al. 2019 (OpenLongTailRecognition) beside them: "
    "ImageNet_LT_train.txt, ImageNet_LT_val.txt and ImageNet_LT_test.txt (`source: imagenet_pareto` needs no lists)",
)


def open_source(folder: Path, settings: Mapping[str, Any]):
    """Train (115,846 pictures of 1,000 classes), val and test as listed; with `rest`, also the other pictures of train/."""
    from pipeline.data.raw import FileSource

    return FileSource(folder, lambda skipped: _listed(folder, settings["rest"], skipped))


def _listed(folder: Path, rest: bool, skipped: Any):
    import numpy as np
    import pandas as pd

    from pipeline.data.files import others, read_list, require_files
    from pipeline.data.imagenet_classes import CLASSES
    from pipeline.data.imagenet_folders import is_flat
    from pipeline.errors import InputError

    LOCATION.require(folder)
    wnids, names = (np.array(list(values)) for values in (CLASSES, CLASSES.values()))
    table = pd.concat([read_list(folder / name, split) for split, name in LISTS.items()], ignore_index=True)
    known = table["class"].clip(upper=len(wnids) - 1)
    wrong = (table["source"].str.split("/").str[1] != wnids[known]) | (table["class"] != known)
    if wrong.any():
        first = table[wrong].iloc[0]
        raise InputError(
            f"{folder}: the lists give {first['source']} the label {first['class']}; labels must be positions among "
            f"the sorted WordNet ids, 0 to {len(wnids) - 1}"
        )
    if is_flat(folder):
        table["source"] = table["source"].str.replace(r"^val/n\d+/", "val/", regex=True)
    require_files(folder, table, "ImageNet-LT")
    if rest:
        folders = {label: str(wnids[label]) for label in sorted(set(table["class"]))}
        table = pd.concat([table, others(folder, "train", folders, table, skipped)], ignore_index=True)
    return table.assign(class_name=names[table["class"]])
