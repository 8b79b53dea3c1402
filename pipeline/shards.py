"""The one format of pictures, real and generated: WebDataset tar shards with a Parquet index.

A record is `<key>.<png|jpg|webp>` beside `<key>.json`, which says how it came to be. The index has a row for each record,
with its place in the tar, so that readers take any pictures in any order. A table of pictures is an index, or any table with the columns
shard, offset, size and crc32; `shard` is a path relative to the table's own folder.
"""

import io
import json
import tarfile
import zlib
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from pipeline.atomic import replacing
from pipeline.errors import InputError

_PLACE = ("shard", "offset", "size", "crc32")
SUFFIX = {"png": "png", "jpeg": "jpg", "webp": "webp"}


def write(path: Path, records: Iterable[tuple[str, bytes, str, Mapping[str, Any]]]) -> pd.DataFrame:
    """Write (key, picture's bytes, its suffix, provenance) as one tar; return the index, a row for each record.

    The same records give the same bytes: times and owners are fixed. Index columns: key, the provenance's own,
    shard (the tar's name), offset and size (bytes), crc32 (of the picture's bytes).
    """
    rows = []
    with replacing(path) as part, tarfile.open(part, "w", format=tarfile.USTAR_FORMAT) as tar:
        for key, picture, suffix, provenance in records:
            offset = _add(tar, f"{key}.{suffix}", picture)
            _add(tar, f"{key}.json", json.dumps(provenance, sort_keys=True).encode())
            place = (path.name, offset, len(picture), zlib.crc32(picture))
            rows.append({"key": key, **provenance, **dict(zip(_PLACE, place, strict=True))})
    return pd.DataFrame(rows, columns=None if rows else ["key", "class", "class_name", *_PLACE])


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write a Parquet file, whole or not at all."""
    with replacing(path) as part:
        table.to_parquet(part, index=False)


def read_table(path: Path) -> pd.DataFrame:
    """Read a Parquet file; InputError where it is missing or damaged."""
    try:
        return pd.read_parquet(path)
    except FileNotFoundError:
        raise InputError(f"{path} is missing") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is damaged: {error}; remove it and run snakemake again") from None


def read_pictures(table: pd.DataFrame, folder: Path) -> np.ndarray:
    """The pictures of a table's rows, in their order: uint8 [N, H, W, 3], RGB.

    `folder` is the table's own. Raises InputError where a shard is missing, a picture is damaged, or sizes differ.
    """
    # shards in the order of the table's first use; each thread reads one shard's rows in one pass over its file
    groups = list(table.reset_index(drop=True).groupby("shard", sort=False))
    pictures: list[np.ndarray | None] = [None] * len(table)

    def read(group: tuple[str, pd.DataFrame]) -> None:
        shard, rows = group
        path = folder / shard
        try:
            with open(path, "rb") as file:
                for row in rows.sort_values("offset").itertuples():
                    file.seek(row.offset)
                    pictures[row.Index] = _decode(file.read(row.size), row.crc32, path, row.key)
        except FileNotFoundError:
            raise InputError(f"{path} is missing, but its index is there; run snakemake again to remake it") from None

    with ThreadPoolExecutor(2) as threads:
        list(threads.map(read, groups))
    if not pictures:
        return np.zeros((0, 0, 0, 3), np.uint8)
    shapes = {picture.shape for picture in pictures}
    if len(shapes) > 1:
        raise InputError(f"the pictures under {folder} have different sizes: {sorted(shapes)[:2]}; one size is needed")
    return np.stack(pictures)


def encode(picture: np.ndarray, format: str = "png", quality: int = 95, side: int | None = None) -> bytes:
    """A picture's file: uint8 [H, W, 3] or [H, W] -> bytes. `quality` is for jpeg and webp; `side` in pixels."""
    image = Image.fromarray(picture)
    if side and image.size != (side, side):
        image = image.resize((side, side), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.save(buffer, format, **({} if format == "png" else {"quality": quality}))
    return buffer.getvalue()


def _add(tar: tarfile.TarFile, name: str, data: bytes) -> int:
    """Append a file with fixed time and owner; return the offset of its data."""
    member = tarfile.TarInfo(name)
    member.size = len(data)
    start = tar.offset
    tar.addfile(member, io.BytesIO(data))
    return start + tarfile.BLOCKSIZE


def _decode(data: bytes, crc32: int, path: Path, key: str) -> np.ndarray:
    if zlib.crc32(data) != crc32:
        raise InputError(f"{path} is damaged at record {key}; remove it and run snakemake again to remake it")
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
