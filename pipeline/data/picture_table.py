"""A user's table of pictures: a CSV or Parquet file with columns path and class, and perhaps group and split."""

import csv
import io
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.data.files import require_distinct, require_files, require_inside, text_of
from pipeline.data.image_folder import SPLITS
from pipeline.errors import InputError

REQUIRED, OPTIONAL = ("path", "class"), ("group", "split")


def listed(folder: Path, name: str) -> pd.DataFrame:
    """The pictures of the table `name` in `folder`, sorted by class and path: source, class, class_name, split and, if given, group.

    A CSV file may have commas, semicolons or tabs between its columns. A path is relative to `folder`, or an absolute one
    inside it. Raises InputError that names the line, the column or the byte that is wrong.
    """
    path = folder / require_inside(name, "table")
    if not path.is_file():
        raise InputError(f"{path} is no file; set the data set's `table` to a CSV or Parquet file in {folder}")
    table = _parquet(path) if path.suffix == ".parquet" else _csv(path)
    bad = table[~table["class"].str.fullmatch(r"[^/\\\0]*[^/\\\0\s.][^/\\\0]*")]
    if len(bad):
        raise InputError(
            f"{path}, line {bad['line'].iloc[0]}: class '{bad['class'].iloc[0]}' is not a valid file name; "
            "use letters and digits, no slashes"
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
    if "group" in table:
        made["group"] = table["group"]
    require_files(folder, made, str(path))
    return made.sort_values(["class", "source"], ignore_index=True)


def _relative(given: str, roots: list[str], where: str) -> str:
    for root in roots:
        if given.startswith(root):
            return require_inside(given.removeprefix(root), where)
    return require_inside(given, where)


def _csv(path: Path) -> pd.DataFrame:
    """The columns as text, and the column line: the number of the line in the file at which a row begins."""
    text = text_of(path)
    header = text.partition("\n")[0]
    separator = max(",;\t", key=header.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    rows, lines, ended = [], [], 0
    try:
        for row in reader:
            if row:
                rows.append(row)
                lines.append(ended + 1)
            ended = reader.line_num
    except csv.Error as error:
        raise InputError(f"{path}, line {ended + 1}: {error}") from None
    names = rows[0] if rows else []
    _require_columns(path, names)
    for row, line in zip(rows, lines, strict=True):
        if len(row) != len(names):
            raise InputError(
                f"{path}, line {line}: {len(row)} columns instead of {len(names)}; put quotes around a text with '{separator}'"
            )
    if len(rows) == 1:
        raise InputError(f"{path} lists no pictures")
    return pd.DataFrame(rows[1:], columns=names, dtype=object).assign(line=lines[1:])


def _parquet(path: Path) -> pd.DataFrame:
    """The columns as text, and the column line: the number of the row, from 1."""
    try:
        table = pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as a table: {error}") from None
    _require_columns(path, list(table))
    if not len(table):
        raise InputError(f"{path} lists no pictures")
    return table.astype(str).assign(line=range(1, len(table) + 1))


def _require_columns(path: Path, names: list[str]) -> None:
    """Raise InputError that names the first missing, unknown or repeated column."""
    allowed = "it must have path and class, and may have group and split"
    for name in REQUIRED:
        if name not in names:
            raise InputError(f"{path} has the columns {', '.join(names)}; {allowed}")
    for place, name in enumerate(names):
        if name not in (*REQUIRED, *OPTIONAL):
            raise InputError(f"{path}: the column '{name}' is unknown; remove it: {allowed}")
        if name in names[:place]:
            raise InputError(f"{path}: the column '{name}' is there twice; remove one")
