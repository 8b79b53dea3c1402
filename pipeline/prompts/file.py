"""Prompts from a user's table."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline.data import user_table
from pipeline.errors import InputError


def texts(settings: Mapping[str, Any], names: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    """(class name, prompt, origin) of every row. Raises InputError for an unknown class, or a damaged table."""
    path = Path(settings["path"])
    table = user_table.read(path, required=("class", "text"))
    unknown = table[~table["class"].isin(names)]
    if len(unknown):
        raise InputError(
            f"{path}, line {unknown['line'].iloc[0]}: there is no class '{unknown['class'].iloc[0]}'; "
            f"the classes are {', '.join(names[:5])}{', ...' if len(names) > 5 else ''}"
        )
    for name, text in zip(table["class"], table["text"], strict=True):
        yield name, text, path.name
