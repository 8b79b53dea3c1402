"""The table that stands for a foundation: its files, with their digests."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.artifacts import made, shards
from pipeline.artifacts.digests import digest
from pipeline.errors import InputError


def write(folder: Path, path: Path, about: Mapping[str, Any] | None = None) -> None:
    """Write the table of all files of a model's folder: file, bytes, sha256. Its metadata have the folder and `about`."""
    files = sorted(file for file in folder.rglob("*") if file.is_file() and not _hidden(file.relative_to(folder)))
    rows = [(str(file.relative_to(folder)), file.stat().st_size, digest(file)) for file in files]
    shards.write_table(
        pd.DataFrame(rows, columns=["file", "bytes", "sha256"]), path, about={"folder": str(folder), **(about or {})}
    )


def folder_of(path: Path) -> Path:
    """The model's folder. Raises InputError if a file of it is missing or was changed since the table was written."""
    shards.require_whole(path)
    folder = Path(made.about(path)["folder"])
    for row in shards.read_table(path).itertuples():
        file = folder / row.file
        if not file.is_file() or file.stat().st_size != row.bytes or digest(file) != row.sha256:
            raise InputError(
                f"{file} is missing or was changed since the model was checked; restore it, or check the model again: "
                f"snakemake --profile local --force {path}"
            )
    return folder


def _hidden(file: Path) -> bool:
    """Whether a file is a downloader's own, as in .cache."""
    return any(part.startswith(".") for part in file.parts)
