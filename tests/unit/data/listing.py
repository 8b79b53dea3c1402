"""Subsets of folders of raw pictures, for the tests of sources."""

from pathlib import Path

import pandas as pd

from pipeline import kinds
from pipeline.config.resolve import SCHEMA, build
from pipeline.data.subset import subset


def settings(source: str, **keys) -> dict:
    """A data set's settings as the config makes them."""
    return build(SCHEMA, "datasets", "some", {"source": source, **keys}).settings()


def listed(folder: Path, source: str, **keys) -> pd.DataFrame:
    """The subset's table for a folder of raw pictures."""
    given = settings(source, **keys)
    return subset(kinds.load("data", source).open_source(folder, given).pictures(), given)


def count(table: pd.DataFrame, split: str) -> dict[str, int]:
    return table.loc[table["split"] == split, "class_name"].value_counts(sort=False).to_dict()
