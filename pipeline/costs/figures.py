"""Figures that jobs are multiplied by: a table, measured or given, that users can edit."""

import difflib
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from pipeline.errors import InputError

SECONDS_A_JOB = "seconds a job"
SECONDS_A_PICTURE = "seconds a picture"
SECONDS_A_STEP = "seconds a picture and step"
SECONDS_A_PAIR = "seconds a pair"
SECONDS_TO_ENCODE = "seconds to encode a picture"
BYTES_A_PICTURE = "bytes a picture"
BYTES_OF_WEIGHTS = "bytes of weights"
BYTES_A_STATE = "bytes of a kept state"
BYTES_OF_CHECKPOINT = "bytes of a checkpoint"

COLUMNS = ("stage", "part", "quantity", "value", "batch", "origin", "hardware", "date")
ORIGINS = ("measured", "given")


class Figure(NamedTuple):
    """Key of a figure; `part` is the name of the stage's part in the config."""

    stage: str
    part: str
    quantity: str


START = Figure("start", "others", SECONDS_A_JOB)
START_OF_GENERATORS = Figure("start", "generators", SECONDS_A_JOB)
"""Time until a job has loaded its modules and has its device; jobs that train or draw with generators load more."""


def wanted(config: Mapping[str, Any]) -> list[Figure]:
    """The figures of the parts named in `config`: dataset, generators, pools, scores, classifiers.

    "generator", "adapt" and "classifier" mean training: one picture of a batch with all its views and passes. "sample" is one
    picture at one step of the sampler, with guidance both passes, and with a share of what comes once a picture. "evaluate" is one
    picture that a classifier predicts, in any stage, "embeddings" one that a foundation embeds. "score" is a pair of a generated
    picture and a real one of its class.
    """
    found = [START, *([START_OF_GENERATORS] if config["pools"] else [])]
    found += [Figure("store", config["dataset"], quantity) for quantity in (SECONDS_A_PICTURE, BYTES_A_PICTURE)]
    trained = (SECONDS_A_PICTURE, BYTES_OF_WEIGHTS, BYTES_OF_CHECKPOINT)
    for name, part in config["generators"].items():
        if part["adapted"]:
            quantities = (SECONDS_A_PICTURE, SECONDS_TO_ENCODE, BYTES_A_STATE, BYTES_OF_CHECKPOINT)
            found += [Figure("adapt", name, quantity) for quantity in quantities]
        else:
            found += [Figure("generator", name, quantity) for quantity in trained]
    found += [
        Figure("sample", name, quantity) for name in config["pools"] for quantity in (SECONDS_A_STEP, BYTES_A_PICTURE)
    ]
    embedded = {part["embedded_by"] for part in config["pools"].values()} - {None}
    found += [Figure("embeddings", name, SECONDS_A_PICTURE) for name in sorted(embedded)]
    found += [
        Figure("score", name, SECONDS_A_PAIR) for name, part in config["scores"].items() if part["kind"] == "classifier"
    ]
    for name in [name for name, part in config["classifiers"].items() if part.get("timed_as", name) == name]:
        found += [Figure("classifier", name, quantity) for quantity in trained]
        found += [Figure("evaluate", name, SECONDS_A_PICTURE), Figure("features", name, BYTES_A_PICTURE)]
    return found


def read(path: Path, needed: Iterable[Figure]) -> pd.DataFrame:
    """Read a table of figures, indexed by stage, part and quantity; value is float64, batch is 0 if it is empty.

    Raises InputError, one sentence, for a file that is not a table of figures, for missing, unknown or repeated rows, and
    for a value that is not a finite number of at least 0.
    """
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as a table of figures: {error}") from None
    if list(table.columns) != list(COLUMNS):
        raise InputError(f"{path} has the columns {', '.join(table.columns)}; they must be {', '.join(COLUMNS)}")
    expected = {figure: _named(figure) for figure in needed}
    rows = [Figure(*row) for row in table[list(Figure._fields)].itertuples(index=False)]
    for row, value, batch, origin in zip(rows, table["value"], table["batch"], table["origin"], strict=True):
        if row not in expected:
            near = difflib.get_close_matches(_named(row), expected.values(), n=1)
            meant = f" (did you mean {near[0]}?)" if near else ""
            raise InputError(f"{path} has an unknown row {_named(row)}{meant}; remove it")
        if not _fits(value):
            raise InputError(f"{path}: {_named(row)} is '{value}'; it must be a finite number of at least 0")
        if batch and not (_fits(batch) and float(batch).is_integer()):
            raise InputError(f"{path}: the batch of {_named(row)} is '{batch}'; it must be a whole number, or empty")
        if origin not in ORIGINS:
            raise InputError(f"{path}: the origin of {_named(row)} is '{origin}'; it must be {' or '.join(ORIGINS)}")
        if rows.count(row) > 1:
            raise InputError(f"{path} has {_named(row)} twice; keep one row")
    for figure in expected:
        if figure not in rows:
            raise InputError(f"{path} has no row for {_named(figure)}; add one")
    table["value"] = table["value"].astype(float)
    table["batch"] = table["batch"].replace("", "0").astype(float).astype(int)
    return table.set_index(list(Figure._fields))


def _named(figure: Figure) -> str:
    return f"{figure.stage},{figure.part},{figure.quantity}"


def _fits(value: str) -> bool:
    try:
        return 0 <= float(value) < math.inf
    except ValueError:
        return False
