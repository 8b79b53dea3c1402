"""The manifest, one table of all stored pictures, and checks of it."""

from collections.abc import Sequence

import pandas as pd

from pipeline.artifacts.pictures import WHITE
from pipeline.errors import InputError

ALWAYS_ALLOWED = 3
"""Unreadable pictures that are no error in a small data set, unless `most_rejected` is 0."""


def gather(indices: Sequence[pd.DataFrame], rejected: pd.DataFrame, most_rejected: float, folder: str) -> pd.DataFrame:
    """Join the shards' rows, in order. The column shard becomes a path relative to the manifest's folder, `folder`.

    Raises InputError if more than the share `most_rejected` of the pictures, and more than ALWAYS_ALLOWED, are unreadable, or
    if a class has no readable training or test picture.
    """
    total = sum(map(len, indices)) + len(rejected)
    remedy = (
        f"all are listed in {folder}/real/*.rejected.parquet; fix or delete them, then run "
        f"snakemake --profile local -R {folder}/pictures.parquet -- {folder}/manifest.parquet"
    )
    if len(rejected) > (max(ALWAYS_ALLOWED, most_rejected * total) if most_rejected else 0):
        shown = "; ".join(f"{row.source}: {row.reason}" for row in rejected.head(5).itertuples())
        raise InputError(
            f"{len(rejected)} of {total} pictures cannot be read; most_rejected allows a share of {most_rejected:g} "
            f"(first: {shown}); {remedy}"
        )
    manifest = pd.concat([index for index in indices if len(index)], ignore_index=True)
    for split, what in (("train", "training"), ("test", "test")):
        left = set(manifest.loc[manifest["split"] == split, "class"])
        lost = rejected[(rejected["split"] == split) & ~rejected["class"].isin(left)]
        if len(lost):
            names = ", ".join(lost["class_name"].drop_duplicates().head(5))
            raise InputError(f"no {what} picture of {names} can be read; {remedy}")
    return manifest.assign(shard="real/" + manifest["shard"])


def require_levels(manifest: pd.DataFrame, levels: int | None) -> None:
    """Raise InputError if the brightest level of files of 16 or 32 bits shows that another level is white than `levels`.

    Without `levels`, 65535 is white, and some picture must have a level of at least half of that.
    """
    if "brightest" not in manifest:
        return
    found = manifest["brightest"].dropna()
    highest = int(found.max())
    told = f"the highest level in {len(found)} files of 16 or 32 bits is {highest:,}"
    if highest > (levels or WHITE):
        raise InputError(
            f"{told}, and levels over {levels or WHITE:,} would all be white; set `levels` of the data set to the level that "
            f"is white, for example {_bits(highest)}"
        )
    if levels is None and highest <= WHITE // 2:
        raise InputError(
            f"{told}, so that all pictures would be dark; set `levels` of the data set to the level that is white, for example "
            f"{_bits(highest)}, or to {WHITE} if they are as dark as that"
        )


def _bits(level: int) -> int:
    """The highest level of as many bits as a level needs."""
    return 2 ** level.bit_length() - 1 if level > 0 else 255


def in_two_classes(manifest: pd.DataFrame) -> pd.DataFrame:
    """Pictures with the same raw bytes as one of another class, grouped: digest, class_name, split, source."""
    classes = manifest.groupby("digest", sort=False)["class"].transform("nunique")
    return manifest.loc[classes > 1, ["digest", "class_name", "split", "source"]].sort_values(["digest", "source"])


def duplicates(manifest: pd.DataFrame) -> pd.DataFrame:
    """Test pictures with the same raw bytes as a training picture: test_key, test_source, train_key, train_source.

    If several training pictures have the same bytes, the first is named.
    """
    test, train = (manifest.loc[manifest["split"] == split, ["digest", "key", "source"]] for split in ("test", "train"))
    first = train.drop_duplicates("digest").rename(columns={"key": "train_key", "source": "train_source"})
    twice = test.rename(columns={"key": "test_key", "source": "test_source"}).merge(first, on="digest")
    return twice.drop(columns="digest")
