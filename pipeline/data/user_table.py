"""Tables that users write: CSV files, as spreadsheets save them, and Parquet files."""

import csv
import io
import numbers
from collections.abc import Sequence
from pathlib import Path
from typing import Any

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
    for name in table:
        table[name] = [_as_text(path, name, line, value) for line, value in enumerate(table[name], 1)]
    return table.assign(line=range(1, len(table) + 1))


def _as_text(path: Path, name: str, line: int, value: Any) -> str:
    """A value of a Parquet file as text: a text or a whole number, or nothing in a column of groups or splits."""
    if isinstance(value, str):
        return value
    if isinstance(value, numbers.Real) and not isinstance(value, bool) and value == value // 1:
        return str(int(value))
    if value is None or (isinstance(value, float) and value != value):
        if name in ("group", "context", "split"):
            return ""
        raise InputError(f"{path}, row {line}: {name} is missing; give it, or delete the row")
    raise InputError(f"{path}, row {line}: {name} must be a text, but is {value!r}; correct it")


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
