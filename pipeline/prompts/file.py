"""Prompts from a user's table."""

import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.data import user_table
from pipeline.errors import InputError
from pipeline.jobs.inputs import only
from pipeline.prompts import Job


def texts(settings: Mapping[str, Any], job: Job) -> Iterator[tuple[str, str, str]]:
    """(class name, prompt, origin) of every row. Raises InputError for an unknown class, or a damaged table."""
    path = only(job.inputs, "path")
    table = user_table.read(path, required=("class", "text"))
    composed = {unicodedata.normalize("NFC", name): name for name in job.names}  # accents are encoded in two ways
    table["class"] = [composed.get(unicodedata.normalize("NFC", name), name) for name in table["class"]]
    unknown = table[~table["class"].isin(job.names)]
    if len(unknown):
        raise InputError(
            f"{path}, line {unknown['line'].iloc[0]}: there is no class '{unknown['class'].iloc[0]}'; "
            f"the classes are {', '.join(job.names[:5])}{', ...' if len(job.names) > 5 else ''}"
        )
    for name, text in zip(table["class"], table["text"], strict=True):
        yield name, text, path.name
