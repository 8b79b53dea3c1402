"""Results of many runs: reading, averaging over seeds, and formatting."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.artifacts import made
from pipeline.errors import InputError


def read_runs(runs: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Read a row for each recipe, data set, seed and metric: dataset, recipe, sees_rest, network, seed, metric, value.

    A run has recipe, dataset, sees_rest, metrics (paths, one per seed) and qualities (paths, one per seed, or one; a pool that all
    seeds share has its figures at the first). Raises InputError for a missing or damaged file.
    """
    rows = []
    for run in runs:
        about = [_read(path) for path in run["metrics"]]
        about_run = run["dataset"], run["recipe"], run["sees_rest"]
        for found in about:
            shared = (*about_run, found["network"], found["seed"])
            rows += [(*shared, metric, value) for metric, value in found["metrics"].items()]
        for found, path in zip(about, run["qualities"], strict=False):
            rows += [
                (*about_run, found["network"], found["seed"], metric, value)
                for metric, value in _read(path)["metrics"].items()
            ]
    return pd.DataFrame(rows, columns=["dataset", "recipe", "sees_rest", "network", "seed", "metric", "value"])


def over_seeds(rows: pd.DataFrame) -> pd.DataFrame:
    """Mean, sample standard deviation (NaN for one seed) and number of seeds for each data set, recipe and metric."""
    groups = rows.groupby(["dataset", "recipe", "metric"], sort=False)["value"]
    return groups.agg(mean="mean", deviation="std", seeds="count").reset_index()


def over_splits(rows: pd.DataFrame) -> pd.DataFrame:
    """Mean, sample standard deviation and number of data sets, each one split of the same pictures, for each recipe and metric.

    A split's figure is the mean over its seeds.
    """
    groups = over_seeds(rows).groupby(["recipe", "metric"], sort=False)["mean"]
    return groups.agg(mean="mean", deviation="std", splits="count").reset_index()


def show_seeds(seeds: int, seeds_of: str) -> str:
    """Format as `3`, or as `3 (classifier, pool)` if more than the classifier has these seeds."""
    return str(seeds) + ("" if seeds_of == "classifier" else f" ({seeds_of})")


def show(mean: float, deviation: float, digits: int = 1) -> str:
    """Format as `50.7 ± 0.3`, or `50.7` without a deviation; a dash for NaN."""
    if pd.isna(mean):
        return "–"
    return f"{mean:.{digits}f}" + ("" if pd.isna(deviation) else f" ± {deviation:.{digits}f}")


def markdown(header: list[str], rows: Iterable[list[str]]) -> str:
    """Format a Markdown table with padded columns, readable as text too."""
    lines = [header, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    padded = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    ]
    return "\n".join([padded[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *padded[1:]]) + "\n"


def _read(path: str) -> dict[str, Any]:
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is missing or damaged ({error}); say `make repair`") from None
    made.checked_digest(Path(path))
    return found
