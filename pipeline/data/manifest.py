"""The manifest, one table of all stored pictures, and checks of it."""

from collections.abc import Sequence

import pandas as pd

from pipeline.errors import InputError


def gather(indices: Sequence[pd.DataFrame], rejected: pd.DataFrame, most_rejected: float, folder: str) -> pd.DataFrame:
    """Join the shards' rows, in order. The column shard becomes a path relative to the manifest's folder, `folder`.

    Raises InputError if more than the share `most_rejected` of the pictures is unreadable, or if a class has no readable
    training or test picture.
    """
    total = sum(map(len, indices)) + len(rejected)
    remedy = f"fix or delete them, then delete {folder}/pictures.parquet to start over; all are listed in {folder}/real/*.rejected.parquet"
    if len(rejected) > most_rejected * total:
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


def duplicates(manifest: pd.DataFrame) -> pd.DataFrame:
    """Test pictures with the same raw bytes as a training picture: test_key, test_source, train_key, train_source.

    If several training pictures have the same bytes, the first is named.
    """
    test, train = (manifest.loc[manifest["split"] == split, ["digest", "key", "source"]] for split in ("test", "train"))
    first = train.drop_duplicates("digest").rename(columns={"key": "train_key", "source": "train_source"})
    twice = test.rename(columns={"key": "test_key", "source": "test_source"}).merge(first, on="digest")
    return twice.drop(columns="digest")
