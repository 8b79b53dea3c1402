"""The format of all pictures, real and generated: WebDataset tar shards with a Parquet index.

A record is a picture, `<key>.<png|jpg|webp>`, and its provenance, `<key>.json`. The index has a row for each record, with its
position in the tar, so that readers can take any pictures in any order. A table of pictures is an index, or any table with the
columns shard, offset, size and crc32; `shard` is a path relative to the table's own folder.
"""

import json
import os
import tarfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.artifacts import made
from pipeline.artifacts.atomic import replacing
from pipeline.artifacts.digests import BLANK, digest, is_whole, seal
from pipeline.artifacts.pictures import Unreadable, decode
from pipeline.cores import cores
from pipeline.errors import InputError

_HEADER = tarfile.TarInfo().tobuf(tarfile.USTAR_FORMAT)  # without name and size, with fixed times and owners
_ZEROS = bytes(tarfile.BLOCKSIZE)
_HEADER_SUM = sum(_HEADER[100:124]) + sum(_HEADER[136:148]) + 8 * ord(" ") + sum(_HEADER[156:])
_encode = json.JSONEncoder(sort_keys=True).encode
_PLACE = ("shard", "offset", "size", "crc32")
PICTURE = ("key", "class", *_PLACE)
"""The columns of an index that are needed to read and label its pictures; the others are provenance."""
REAL = (*PICTURE, "class_name", "split")
"""The columns of a manifest of real pictures that are needed for every use of it."""
OPTIONAL = ("group", "context")
"""More of these columns, which not every index has."""


def write(path: Path, records: Iterable[tuple[str, bytes, str, Mapping[str, Any]]]) -> pd.DataFrame:
    """Write records (key, picture's bytes, suffix, provenance) as one tar; return the index, with a row for each record.

    Every provenance has the same keys in the same order. Times and owners are fixed, so the same records give the same bytes.
    Index columns: key, the provenance's keys, shard (the tar's name), offset and size (bytes), crc32 (of the picture's bytes).
    """
    rows, end, provenance = [], 0, dict.fromkeys(("class", "class_name"))
    with replacing(path) as part, open(part, "wb", 2**20) as file:
        for key, picture, suffix, provenance in records:
            place = (path.name, end + tarfile.BLOCKSIZE, len(picture), zlib.crc32(picture))
            rows.append((key, *provenance.values(), *place))
            about = _encode(provenance).encode()
            end += file.write(_member(f"{key}.{suffix}", picture) + _member(f"{key}.json", about))
        padding = -(end + 2 * tarfile.BLOCKSIZE) % tarfile.RECORDSIZE
        file.write(bytes(2 * tarfile.BLOCKSIZE + padding))  # the end of an archive
    return pd.DataFrame(rows, columns=["key", *provenance, *_PLACE])


def rows_of(total: int, shard: int, count: int) -> range:
    """The rows of a table of `total` rows that go into one of `count` shards: contiguous, with sizes that differ by at most 1."""
    return range(total * shard // count, total * (shard + 1) // count)


def write_table(
    table: pd.DataFrame,
    path: Path,
    beside: Iterable[Path] | Mapping[Path, str] = (),
    about: Mapping[str, Any] | None = None,
) -> None:
    """Write a sealed Parquet file, whole or not at all.

    Its metadata hold its own name, the digests of the files `beside` or below it, what made it, and the keys of `about`.
    `made.about` reads them. A mapping `beside` has the digests already.
    """
    write_blocks([table], path, beside, about)


def write_blocks(
    blocks: Iterable[pd.DataFrame],
    path: Path,
    beside: Iterable[Path] | Mapping[Path, str] = (),
    about: Mapping[str, Any] | None = None,
) -> None:
    """`write_table` for one or more tables of the same columns: a row group for each, with one at a time in memory.

    Tables without rows are skipped, because their columns may have other types. The files `beside` may be written as late as
    the last block.
    """
    blocks = iter(blocks)
    for first in blocks:
        if len(first):
            break
    schema = pa.Schema.from_pandas(first, preserve_index=False)
    with replacing(path) as part:
        with pq.ParquetWriter(part, schema) as writer:
            for block in chain([first], (block for block in blocks if len(block))):
                writer.write_table(pa.Table.from_pandas(block, schema, preserve_index=False))
            known = beside if isinstance(beside, Mapping) else {file: digest(file) for file in beside}
            digests = {os.path.relpath(file, path.parent): each for file, each in known.items()}
            said = {"name": path.name, "beside": digests, "made": made.current(), **(about or {})}
            # the seal last, because it must lie in the file's last MiB
            writer.add_key_value_metadata({made.KEY: json.dumps(said | {"seal": BLANK})})
        seal(part)


def require_whole(path: Path) -> None:
    """Raise InputError where a sealed table, or a file whose digest it holds, is missing or has other bytes than were written."""
    if not path.exists():
        raise InputError(f"{path} is missing; say `make repair`")
    damaged = [] if is_whole(path) else [path]
    if not damaged:
        beside = {path.parent / name: expected for name, expected in made.about(path)["beside"].items()}
        damaged = [file for file, expected in beside.items() if not file.exists() or digest(file) != expected]
    if damaged:
        raise InputError(f"{damaged[0]} is missing or damaged; say `make repair`")


def read_table(
    path: Path, columns: Sequence[str] | None = None, optional: Sequence[str] = (), needs: Sequence[str] = ()
) -> pd.DataFrame:
    """Read a Parquet file, or some columns of it and those of `optional` that it has.

    Raises InputError if it is missing or damaged, or lacks one of `columns` or of `needs`.
    """
    with _reading(path):
        if columns is None and not needs:
            return pd.read_parquet(path)
        found = pq.read_metadata(path)
        there = found.schema.names
        for name in (*(columns or ()), *needs):
            if name not in there and found.num_rows:  # the index of a shard without pictures has fewer columns
                raise InputError(
                    f"{path} lacks the column '{name}', because an earlier version made it; make it again: "
                    f"snakemake --profile local -R {path} -- {path}"
                )
        if columns is not None:
            columns = [*columns, *(name for name in optional if name in there)]
        return pd.read_parquet(path, columns=columns)


def read_asked(path: Path, columns: Sequence[str], optional: Sequence[str] = ()) -> pd.DataFrame:
    """`read_table` for the index of a pool, without the pictures of its surplus, which only filters use."""
    index = read_table(path, columns, [*optional, "surplus"])
    return index[~index["surplus"]].drop(columns="surplus") if "surplus" in index else index


def read_part(path: Path, shard: int, count: int) -> pd.DataFrame:
    """Read the rows of a Parquet file that go into a shard, and only the row groups that hold them.

    Raises InputError if the file is missing or damaged.
    """
    with _reading(path), pq.ParquetFile(path) as file:
        sizes = [file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)]
        ends = np.cumsum(sizes)
        rows = rows_of(file.metadata.num_rows, shard, count)
        groups = [group for group, end in enumerate(ends) if end - sizes[group] < rows.stop and end > rows.start]
        if not groups:
            return file.schema_arrow.empty_table().to_pandas()
        before = ends[groups[0]] - sizes[groups[0]]
        return file.read_row_groups(groups).slice(rows.start - before, len(rows)).to_pandas()


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Turn errors in reading a Parquet file into InputError."""
    try:
        yield
    except FileNotFoundError:
        raise InputError(f"{path} is missing") from None
    except (OSError, ValueError) as error:
        if isinstance(error, InputError) or getattr(error, "errno", None):
            raise  # an error of the disk, not of the file
        raise InputError(f"{path} is damaged: {error}; say `make repair`") from None


def read_pictures(table: pd.DataFrame, folder: Path, side: int | None = None) -> np.ndarray:
    """Read the pictures of a table's rows, in order: uint8 [N, H, W, 3], RGB, squares of `side` pixels if given.

    `folder` is the table's own. Raises InputError if a shard is missing, a picture is damaged, or sizes differ.
    """
    if not len(table):
        return np.zeros((0, 0, 0, 3), np.uint8)
    table = table.reset_index(drop=True)
    ((_, first),) = _decoded(table["shard"][0], table[:1], folder, side)
    pictures = np.empty((len(table), *first.shape), np.uint8)

    def read(group: tuple[str, pd.DataFrame]) -> None:
        for position, picture in _decoded(*group, folder, side):
            if picture.shape != first.shape:
                sizes = sorted((first.shape, picture.shape))
                raise InputError(
                    f"the pictures under {folder} have different sizes: {sizes}; give `side` where they are read, in pixels"
                )
            pictures[position] = picture

    # each thread reads one shard's rows in one pass over its file
    with ThreadPoolExecutor(cores()) as threads:
        list(threads.map(read, table.groupby("shard", sort=False)))
    return pictures


def opened(path: Path) -> BinaryIO:
    """Open a shard for `read_record`. Raises InputError if it is missing."""
    try:
        return open(path, "rb")
    except FileNotFoundError:
        raise InputError(f"{path} is missing, but its index is there; say `make repair`") from None


def read_record(file: BinaryIO, row: Any, decode: Callable[[bytes], np.ndarray]) -> np.ndarray:
    """Read one picture's bytes and decode them by `decode`; `row` has its key, offset, size and crc32.

    Raises InputError if the bytes differ from those that were written, or if `decode` raises Unreadable.
    """
    file.seek(row.offset)
    data = file.read(row.size)
    if zlib.crc32(data) != row.crc32:
        raise InputError(f"{file.name} is damaged at record {row.key}; say `make repair`")
    try:
        return decode(data)
    except Unreadable as error:
        raise InputError(f"{file.name}, record {row.key} cannot be decoded: {error}") from None


def _decoded(shard: str, rows: pd.DataFrame, folder: Path, side: int | None) -> Iterator[tuple[int, np.ndarray]]:
    """(position in the table, picture) of one shard's rows."""
    with opened(folder / shard) as file:
        for row in rows.sort_values("offset").itertuples():
            yield row.Index, read_record(file, row, partial(decode, side=side))


def _member(name: str, data: bytes) -> bytes:
    """A file of an archive, as tarfile writes it in ten times the time: only name, size and checksum vary."""
    encoded, size = name.encode(), b"%011o\0" % len(data)
    if len(encoded) >= 100:
        raise InputError(f"the key of '{name}' is too long for an archive; at most 90 bytes are allowed")
    checksum = b"%06o\0 " % (_HEADER_SUM + sum(encoded) + sum(size))
    padding = _ZEROS[: -len(data) % tarfile.BLOCKSIZE]
    parts = (
        encoded.ljust(100, b"\0"),
        _HEADER[100:124],
        size,
        _HEADER[136:148],
        checksum,
        _HEADER[156:],
        data,
        padding,
    )
    return b"".join(parts)
