"""The table that stands for a foundation: its files, with their digests."""

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.artifacts import made, shards
from pipeline.artifacts.digests import digest
from pipeline.errors import InputError


def write(folder: Path, path: Path, about: Mapping[str, Any] | None = None) -> None:
    """Write the table of all files of a model's folder: file, bytes, sha256. Its metadata have the folder and `about`.

    Files below the table's own folder are part of the artifact, so the table seals them too.
    """
    rows = [(name, (folder / name).stat().st_size, digest(folder / name)) for name in _files(folder)]
    beside = {folder / name: sha256 for name, _, sha256 in rows} if _is_own(folder, path) else {}
    table = pd.DataFrame(rows, columns=["file", "bytes", "sha256"])
    shards.write_table(table, path, beside, about={"folder": str(folder), **(about or {})})


def folder_of(path: Path) -> Path:
    """The model's folder. Raises InputError if a file of it is missing or was changed since the table was written."""
    shards.require_whole(path)
    folder, table = Path(made.about(path)["folder"]), shards.read_table(path)
    again = f"check the model again: snakemake --profile local --force {path}"
    if more := sorted(set(_files(folder)) - set(table["file"])):  # the libraries may take it in place of another
        raise InputError(f"{folder / more[0]} came since the model was checked; remove it, or {again}")
    if _is_own(folder, path):  # its files are whole, as the table is
        return folder
    for row in table.itertuples():
        file = folder / row.file
        if not file.is_file() or file.stat().st_size != row.bytes or digest(file) != row.sha256:
            raise InputError(f"{file} is missing or was changed since the model was checked; restore it, or {again}")
    return folder


def identity(path: Path) -> str:
    """A digest of a model's files, wherever they lie: the SHA-256 of their names and digests."""
    table = shards.read_table(path, ["file", "sha256"])
    return hashlib.sha256("".join(f"{row.file}\0{row.sha256}\n" for row in table.itertuples()).encode()).hexdigest()


def _is_own(folder: Path, path: Path) -> bool:
    """Whether the model's folder is below that of the table."""
    return folder.is_relative_to(path.parent)


def _files(folder: Path) -> list[str]:
    """The files below a folder, also those in linked folders, relative to it; hidden ones are a downloader's own, as in .cache.

    Raises InputError if a link leads back to a folder above it.
    """
    return sorted(str(file.relative_to(folder)) for file in _below(folder, (*folder.resolve().parents,)))


def _below(folder: Path, above: tuple[Path, ...]) -> Iterator[Path]:
    if (real := folder.resolve()) in above:
        raise InputError(f"{folder} is a link to a folder above it; remove it")
    for path in folder.iterdir():
        if path.name.startswith("."):
            continue
        if path.is_dir():
            yield from _below(path, (*above, real))
        elif path.is_file():
            yield path
