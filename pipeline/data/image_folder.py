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
LIKE_SPLITS = {"train", "training", "val", "valid", "validation", "test", "testing"}
"""Names of folders that are splits and not classes, in several spellings."""


def open_source(folder: Path, settings: Mapping[str, Any]):
    """Class folders, or a `table`: a CSV or Parquet file in `folder` with columns path and class, and perhaps group and split.

    Folders named train, val and test are splits, and hold the class folders. Without them, all pictures are for training.
    """
    from pipeline.data.raw import FileSource

    return FileSource(folder, lambda: _table(folder, settings["table"]) if settings.get("table") else _folders(folder))


def _folders(folder: Path):
    import pandas as pd

    from pipeline.data.files import class_folders, pictures_below, require_distinct
    from pipeline.errors import InputError

    LOCATION.require(folder)
    names = class_folders(folder)
    splits = [(split, f"{split}/") for split in SPLITS if split in names]
    if not splits and {name.casefold() for name in names} <= LIKE_SPLITS:
        raise InputError(
            f"{folder} has the folders {', '.join(names)}; if they are splits, name them train, val and test"
        )
    if splits and not set(names) <= set(SPLITS):
        other = sorted(set(names) - set(SPLITS))[0]
        raise InputError(
            f"{folder} has folders of splits ({splits[0][0]}) and of classes ({other}) side by side; use one or the other"
        )
    splits = splits or [("train", "")]
    classes = sorted({name for _, below in splits for name in class_folders(folder / below)})
    require_distinct(classes, str(folder))
    labels = {name: label for label, name in enumerate(classes)}
    rows = []
    for split, below in splits:
        for name in class_folders(folder / below):
            rows += [
                (f"{below}{name}/{picture}", labels[name], name, split)
                for picture in pictures_below(folder / below / name)
            ]
    return pd.DataFrame(rows, columns=["source", "class", "class_name", "split"])


def _table(folder: Path, name: str):
    import numpy as np
    import pandas as pd

    from pipeline.data.files import require_distinct, require_files, require_inside
    from pipeline.errors import InputError

    path = folder / require_inside(name, "table")
    try:
        table = (
            pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path, dtype=str, keep_default_na=False)
        )
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as a table: {error}") from None
    lacking = [column for column in ("path", "class") if column not in table]
    unknown = [column for column in table if column not in ("path", "class", "group", "split")]
    if lacking or unknown:
        raise InputError(
            f"{path} has the columns {', '.join(table)}; it must have path and class, and may have group and split"
        )
    if not len(table):
        raise InputError(f"{path} lists no pictures")
    table = table.astype(str).assign(line=range(2, len(table) + 2))
    bad = table[~table["class"].str.fullmatch(r"[^/\\\0]*[^/\\\0\s.][^/\\\0]*")]
    if len(bad):
        raise InputError(
            f"{path}, line {bad['line'].iloc[0]}: class '{bad['class'].iloc[0]}' is not a valid file name; "
            "use letters and digits, no slashes"
        )
    classes, labels = np.unique(table["class"].to_numpy(object), return_inverse=True)
    require_distinct(classes.tolist(), str(path))
    if "split" in table and not set(table["split"]) <= set(SPLITS):
        wrong = sorted(set(table["split"]) - set(SPLITS))[0]
        raise InputError(f"{path}: split '{wrong}' is unknown; allowed: {', '.join(SPLITS)}")
    source = [
        require_inside(given, f"{path}, line {line}") for given, line in zip(table["path"], table["line"], strict=True)
    ]
    made = pd.DataFrame({"source": source, "class": labels})
    made["class_name"] = table["class"]
    made["split"] = table.get("split", "train")
    if "group" in table:
        made["group"] = table["group"]
    require_files(folder, made, str(path))
    return made.sort_values(["class", "source"], ignore_index=True)
