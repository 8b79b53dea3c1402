"""Tables that users write: CSV files, as spreadsheets save them, and Parquet files."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from pipeline.data.files import text_of
from pipeline.errors import InputError


def read(path: Path, required: Sequence[str], optional: Sequence[str] = ()) -> pd.DataFrame:
    """The columns as text, and the column line: the line at which a row begins, or in a Parquet file its number from 1.

    A CSV file may have commas, semicolons or tabs between its columns. Raises InputError that names the line, the column or
    the byte that is wrong.
    """
    return (_parquet if path.suffix == ".parquet" else _csv)(path, required, optional)


def _csv(path: Path, required: Sequence[str], optional: Sequence[str]) -> pd.DataFrame:
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
    _require_columns(path, names, required, optional)
    for row, line in zip(rows, lines, strict=True):
        if len(row) != len(names):
            raise InputError(
                f"{path}, line {line}: {len(row)} columns instead of {len(names)}; put quotes around a text with '{separator}'"
            )
    if len(rows) == 1:
        raise InputError(f"{path} has no rows")
    return pd.DataFrame(rows[1:], columns=names, dtype=object).assign(line=lines[1:])


def _parquet(path: Path, required: Sequence[str], optional: Sequence[str]) -> pd.DataFrame:
    try:
        table = pd.read_parquet(path)
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as a table: {error}") from None
    _require_columns(path, list(table), required, optional)
    if not len(table):
        raise InputError(f"{path} has no rows")
    return table.astype(str).assign(line=range(1, len(table) + 1))


def _require_columns(path: Path, names: Sequence[str], required: Sequence[str], optional: Sequence[str]) -> None:
    """Raise InputError that names the first missing, unknown or repeated column."""
    allowed = f"it must have {' and '.join(required)}"
    allowed += f", and may have {' and '.join(optional)}" if optional else ""
    for name in required:
        if name not in names:
            raise InputError(f"{path} has the columns {', '.join(names)}; {allowed}")
    for place, name in enumerate(names):
        if name not in (*required, *optional):
            raise InputError(f"{path}: the column '{name}' is unknown; remove it: {allowed}")
        if name in names[:place]:
            raise InputError(f"{path}: the column '{name}' is there twice; remove one")
