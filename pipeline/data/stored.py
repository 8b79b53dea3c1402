"""Raw pictures as records of shards."""

import hashlib
from collections.abc import Iterable, Iterator
from typing import Any

import pandas as pd

from pipeline.artifacts.pictures import Unreadable, prepared
from pipeline.data.raw import Source


def each_row(pictures: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """The rows of a subset's table, one mapping at a time; what is missing, as a group, is None."""
    columns = [pictures[name].astype(object).where(pictures[name].notna(), None).tolist() for name in pictures]
    return (dict(zip(pictures, row, strict=True)) for row in zip(*columns, strict=True))


def records(
    rows: Iterable[dict[str, Any]],
    source: Source,
    side: int | None,
    rejected: list[dict[str, Any]],
    levels: int | None = None,
    brightest: dict[str, int] | None = None,
) -> Iterator[tuple[str, bytes, str, dict[str, Any]]]:
    """Records for `shards.write`, with the digest of the raw file in each provenance.

    If `side` is given, larger pictures are scaled to a shorter side of `side` pixels. `levels` is the level that is white in
    files of 16 or 32 bits, and `brightest` gets the highest level of each of these by its key. Unreadable pictures are
    skipped and added to `rejected`, with the reason.
    """
    for row in rows:
        try:
            data = source.read(row["source"])
            about = {name: row[name] for name in row if name != "key"}
            about["digest"] = hashlib.blake2b(data, digest_size=16).hexdigest()
            picture = prepared(data, side, levels)
            if brightest is not None and picture.brightest is not None:
                brightest[row["key"]] = picture.brightest
            yield row["key"], picture.data, picture.suffix, about
        except Unreadable as error:
            rejected.append(row | {"reason": str(error)})
