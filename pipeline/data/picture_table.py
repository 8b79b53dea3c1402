"""A user's table of pictures: a CSV or Parquet file with columns path and class, and perhaps group or context, and split."""

from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.data import user_table
from pipeline.data.files import require_distinct, require_files, require_inside
from pipeline.data.groups import group_of
from pipeline.data.image_folder import SPLITS
from pipeline.errors import InputError


def listed(folder: Path, name: str) -> pd.DataFrame:
    """The pictures of the table `name` in `folder`, sorted by class and path: source, class, class_name, split and, if given,
    group, or group and context.

    A context makes a group of each class in it. A CSV file may have commas, semicolons or tabs between its columns. A path is
    relative to `folder`, or an absolute one inside it. Raises InputError that names the line, the column or the byte that is wrong.
    """
    path = folder / require_inside(name, "table")
    if not path.is_file():
        raise InputError(f"{path} is no file; set the data set's `table` to a CSV or Parquet file in {folder}")
    table = user_table.read(path, required=("path", "class"), optional=("group", "context", "split"))
    bad = table[~table["class"].str.fullmatch(r"[^/\\\0]*[^/\\\0\s.][^/\\\0]*")]
    if len(bad) and not bad["class"].iloc[0].strip():
        raise InputError(f"{path}, line {bad['line'].iloc[0]}: the class is missing; give one, or delete the line")
    if len(bad):
        raise InputError(
            f"{path}, line {bad['line'].iloc[0]}: class '{bad['class'].iloc[0]}' is not a valid file name; "
            "use letters and digits, no slashes"
        )
    if {"group", "context"} <= set(table):
        raise InputError(
            f"{path} has the columns group and context; remove one: a context makes a group of each class in it"
        )
    classes, labels = np.unique(table["class"].to_numpy(object), return_inverse=True)
    require_distinct(classes.tolist(), str(path))
    if "split" in table and len(bad := table[~table["split"].isin(SPLITS)]):
        raise InputError(
            f"{path}, line {bad['line'].iloc[0]}: split '{bad['split'].iloc[0]}' is unknown; allowed: {', '.join(SPLITS)}"
        )
    roots = [f"{root}/" for root in dict.fromkeys((str(folder.absolute()), str(folder.resolve())))]
    source = [
        _relative(given, roots, f"{path}, line {line}")
        for given, line in zip(table["path"], table["line"], strict=True)
    ]
    made = pd.DataFrame({"source": source, "class": labels})
    made["class_name"] = table["class"]
    made["split"] = table.get("split", "train")
    if "context" in table:
        table["group"] = [group_of(*pair) for pair in zip(table["class"], table["context"], strict=True)]
    for column in ("group", "context"):
        if column in table:
            made[column] = table[column].where(table[column] != "", None)
    require_files(folder, made, str(path))
    return made.sort_values(["class", "source"], ignore_index=True)


def _relative(given: str, roots: list[str], where: str) -> str:
    for root in roots:
        if given.startswith(root):
            return require_inside(given.removeprefix(root), where)
    return require_inside(given, where)
