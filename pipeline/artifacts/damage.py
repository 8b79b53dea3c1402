"""Search for damage among the artifacts of a run, by reading all of them.

Tables are sealed and hold the digests of the files beside them (pipeline/artifacts/shards.py). So every file that another
stage reads is checked to the last byte. Reports in CSV and Markdown have no digest and are only parsed. That finds zeros and
broken rows, but not a changed digit.
"""

import csv
import io
import json
import os
import re
import zlib
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow.parquet as pq
from PIL import Image

from pipeline.artifacts import digests, made, shards
from pipeline.cores import cores

SET_ASIDE = ".{}.damaged"
"""Name of a damaged file while a repair remakes it."""
_SEALED = ("features.safetensors", "embeddings.safetensors", "quality.json")  # and all tables
_CHANGED = "its bytes differ from those that were written"


class Found(NamedTuple):
    """Numbers of files, bytes and pictures, and the reason for each file that is damaged or missing."""

    files: int
    bytes: int
    pictures: int
    damage: dict[Path, str]


class _Table(NamedTuple):
    """A table's damage, or else the digests of files beside it, the shards of its rows, and its own shard's number of pictures."""

    damage: str | None
    beside: dict[Path, str] = {}
    shards: set[Path] = set()
    pictures: int = 0


Shown = Callable[[Iterable, str, int], Iterable]
"""(items, label, total) -> the items, while progress is shown."""


def examine(
    root: Path,
    implied_by: Callable[[Path], Iterable[Path]] = lambda path: (),
    shown: Shown = lambda items, label, total: items,
) -> Found:
    """Read every artifact under `root`, a normalised path, to its end. Checkpoints and hidden files are skipped.

    `implied_by` gives the files under `root` that must exist if a file does.
    """
    names, others, damage = [], [], {}
    for path in _files(root):
        if aside := re.fullmatch(re.escape(SET_ASIDE).replace(r"\{\}", "(.+)"), path.name):
            damage[path.with_name(aside[1])] = "its repair was interrupted"
        elif not path.name.startswith("."):
            (names if path.suffix == ".parquet" else others).append(path)

    tables = dict(zip(names, _each(_table, names, "reading tables", shown), strict=True))
    known = {path: digest for table in tables.values() for path, digest in table.beside.items()}
    for name, table in tables.items():
        if table.damage:
            damage[name] = table.damage
        for path in table.beside.keys() | table.shards:
            if path.is_relative_to(root) and not path.exists():  # files in a remote store are not checked
                damage.setdefault(path, f"missing, but {name} names it")
    for path in others:
        index = path.with_suffix(".parquet")
        if path.suffix == ".tar" and index not in tables:
            damage.setdefault(index, f"missing, but {path} exists; it was deleted, or its job has not finished")

    for path in (known_of := [*names, *others]):  # the list grows in this loop
        for other in implied_by(path):
            if other not in damage and not other.exists():
                damage[other] = f"missing, but {path} exists" if path not in damage else f"missing, as is {path}"
                known_of.append(other)

    unsure = {name.parent for name in damage if name.suffix == ".parquet"}
    reasons = _each(lambda path: _reason(path, known.get(path), unsure), others, "reading other files", shown)
    damage |= {path: reason for path, reason in zip(others, reasons, strict=True) if reason}
    size = sum(path.stat().st_size for path in names + others)
    return Found(
        len(tables) + len(others), size, sum(table.pictures for table in tables.values()), dict(sorted(damage.items()))
    )


def _files(root: Path) -> list[Path]:
    found = []
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if name != "checkpoints" and not name.startswith("."))
        found += [Path(folder, name) for name in sorted(names)]
    return found


def _each(check: Callable[[Path], Any], paths: list[Path], label: str, shown: Shown) -> list[Any]:
    with ThreadPoolExecutor(cores()) as threads:
        return list(shown(threads.map(check, paths), label, len(paths)))


def _table(path: Path) -> _Table:
    try:
        if broken := _broken(path):
            return _Table(broken)
        about = made.about(path)
        if about["name"] != path.name:
            return _Table(f"it was written under the name {about['name']}")
        beside = {_from(path, name): digest for name, digest in about["beside"].items()}
        schema = pq.read_schema(path)
        # as a dictionary, because the text of millions of rows takes a gigabyte
        places = (
            pq.read_table(path, columns=["shard"], read_dictionary=["shard"])["shard"]
            if "shard" in schema.names
            else []
        )
        own = path.with_suffix(".tar") in beside
        named = set() if own or not len(places) else {_from(path, name) for name in places.unique().to_pylist()}
        return _Table(None, beside, named, len(places) if own else 0)
    except OSError as error:
        return _Table(f"it cannot be read: {error.strerror or error}")


def _from(table: Path, name: str) -> Path:
    """A path that a table names, without `..`, so that it can be compared."""
    return Path(os.path.normpath(table.parent / name))


def _reason(path: Path, digest: str | None, unsure: set[Path]) -> str | None:
    """The damage of a file other than a table, or None. `unsure` are the folders of damaged tables."""
    try:
        if digest:
            return None if digests.digest(path) == digest else _difference(path)
        if path.name in _SEALED:
            return _broken(path)
        if path.suffix == ".safetensors" and unsure.isdisjoint(path.parents[:2]):
            return "no table holds its digest; it is damaged, or its job has not finished"
        return _misread(path)
    except OSError as error:
        return f"it cannot be read: {error.strerror or error}"


def _broken(path: Path) -> str | None:
    """The damage of a file that must be sealed, or None."""
    if digests.stated(path) is None:
        return "it has no seal; it is damaged, or an older version made it"
    return None if digests.is_whole(path) else _CHANGED


def _difference(path: Path) -> str:
    """The damaged records of a shard; of other files, only that their bytes differ."""
    if path.suffix != ".tar":
        return _CHANGED
    index = shards.read_table(path.with_suffix(".parquet"))
    with open(path, "rb") as file:
        damaged = [row.key for row in index.itertuples() if not _holds(file, row)]
    if not damaged:
        return "its pictures are whole, but other bytes differ from those that were written"
    return f"{len(damaged)} of {len(index)} pictures are damaged, first {damaged[0]}"


def _holds(file: io.BufferedReader, row: Any) -> bool:
    file.seek(row.offset)
    return zlib.crc32(file.read(row.size)) == row.crc32


def _misread(path: Path) -> str | None:
    """Why an unsealed file cannot be parsed as its suffix, or None."""
    if path.suffix not in (".json", ".csv", ".md", ".png"):
        return None
    data = path.read_bytes()
    try:
        if path.suffix == ".png":
            Image.open(io.BytesIO(data), formats=("PNG",)).verify()
        elif not data or b"\0" in data:
            raise ValueError("it is empty or holds zero bytes")
        elif path.suffix == ".json":
            json.loads(data)
        elif path.suffix == ".csv":
            widths = {len(row) for row in csv.reader(data.decode().splitlines(), strict=True)}
            if len(widths) > 1:
                raise ValueError("rows of different lengths")
        else:
            data.decode()
    except Exception as error:  # Pillow and csv have exceptions of their own
        return f"it cannot be parsed: {error}"
    return None
