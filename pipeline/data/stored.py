"""Raw pictures as they are stored."""

import hashlib
from collections.abc import Iterable, Iterator
from typing import Any

import pandas as pd

from pipeline.artifacts.pictures import Unreadable, prepared
from pipeline.data.raw import Source


def each_row(pictures: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Each row of a subset's table, without a copy of them all."""
    columns = [pictures[name].tolist() for name in pictures]
    return (dict(zip(pictures, row, strict=True)) for row in zip(*columns, strict=True))


def records(
    rows: Iterable[dict[str, Any]], source: Source, side: int | None, rejected: list[dict[str, Any]]
) -> Iterator[tuple[str, bytes, str, dict[str, Any]]]:
    """What `shards.write` takes for each picture, with the digest of its raw file among what is known about it.

    Pictures have a shorter side of at most `side` pixels, if given. Those that cannot be decoded are left out and added to
    `rejected`, with the reason.
    """
    for row in rows:
        try:
            data = source.read(row["source"])
            about = {name: row[name] for name in row if name != "key"}
            about["digest"] = hashlib.blake2b(data, digest_size=16).hexdigest()
            yield row["key"], *prepared(data, side), about
        except Unreadable as error:
            rejected.append(row | {"reason": str(error)})
