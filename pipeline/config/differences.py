"""The published tables of `papers/`, our runs for their rows, and our differences from the paper."""

import csv
import json
import re
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from pipeline.config.artifacts import locate
from pipeline.config.targets import results_of
from pipeline.config.workflow import Run, Workflow
from pipeline.errors import InputError

SETTINGS = ("key", "value", "family", "recipes", "says")
"""Columns of the settings of a paper."""


def published_tables(folder: Path) -> dict[str, Path]:
    """Name -> file of every published table, or table of a figure: `diffult_3` -> `folder`/diffult/table_3.csv."""
    files = sorted([*folder.glob("*/table_*.csv"), *folder.glob("*/figure_*.csv")])
    return {f"{path.parent.name}_{path.stem.removeprefix('table_')}": path for path in files}


def published_rows(table: Path, *columns: str) -> list[dict[str, str]]:
    """The rows of a published table. Raises InputError if it lacks one of the columns."""
    with open(table, newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        if lacking := [column for column in columns if column not in (reader.fieldnames or ())]:
            raise InputError(f"{table}: it has no column {', '.join(lacking)}; it needs {', '.join(columns)}")
        return list(reader)


def table_runs(flow: Workflow, table: Path) -> list[Run]:
    """Our runs of a published table, each once. Raises InputError for a recipe or data set that the config does not have.

    Where a foundation of a row's recipe is not there, the row's `stand_in` runs, a recipe that needs no such foundation.
    """
    return list(_runs_of_rows(flow, table))


def compared(flow: Workflow, table: Path) -> list[dict[str, Any]]:
    """Our runs of a published table for the stage `tables`: the files with their figures, what `differs` from the paper, and the
    recipes that the table names for it (`stands_for`).
    """
    return [
        results_of(run)
        | {"stands_for": [recipe for recipe, _ in rows], "differs": _reasons(rows) + differences(flow, table, run)}
        for run, rows in _runs_of_rows(flow, table).items()
    ]


def _runs_of_rows(flow: Workflow, table: Path) -> dict[Run, list[tuple[str, list[str]]]]:
    """Our runs -> the recipes of the rows that each stands for, with the foundations that these lack."""
    rows = published_rows(table, "row", "dataset", "recipe", "metric", "published", "note")
    wanted = {(row["recipe"], row["dataset"]): row.get("stand_in") for row in rows if row["recipe"]}
    found: dict[Run, list[tuple[str, list[str]]]] = {}
    try:
        for (recipe, dataset), stand_in in wanted.items():
            run = flow.run(recipe, dataset)
            absent = _absent_foundations(flow, run) if stand_in else []
            found.setdefault(flow.run(stand_in, dataset) if absent else run, []).append((recipe, absent))
    except InputError as error:
        raise InputError(f"{table}: {error}") from None
    return found


def _reasons(rows: list[tuple[str, list[str]]]) -> list[str]:
    """Why a run stands for rows of other recipes."""
    return [
        f"instead of {recipe}, because foundations.{name} is not there" for recipe, absent in rows for name in absent
    ]


def _absent_foundations(flow: Workflow, run: Run) -> list[str]:
    """Names of the run's foundations that are not made, and that no job could make now."""
    parts = flow.needed(run.dataset, [run]).get("foundations", {})
    absent = [name for name, part in parts.items() if part.missing()]
    return [name for name in absent if not Path(locate("foundation", name=name)).exists()]


def differences(flow: Workflow, table: Path, run: Run) -> list[str]:
    """Settings of a run that differ from the paper's: `key value (published value)`, without those that the run varies.

    The paper's settings are in settings.csv beside the table. Each holds for the families and the recipes (patterns) named
    in its row, or for all.
    """
    path = table.with_name("settings.csv")
    if not path.is_file():
        raise InputError(f"{table}: {path} is missing; add it, with the columns {', '.join(SETTINGS)}")
    settings = published_rows(path, *SETTINGS)
    found = [f"sees pictures that the long tail left out ({run.sees_rest})"] if run.sees_rest else []
    for row in settings:
        families, recipes = row["family"].split(), row["recipes"].split()
        is_meant = not families or flow.family(run.dataset) in families
        is_meant = is_meant and any(fnmatch(run.recipe.split("~")[0], pattern) for pattern in recipes or ["*"])
        if re.sub(r"^run\.", "classifier.", row["key"]) in run.varied or not is_meant:
            continue
        ours = [json.loads(as_json(value)) for value in flow.setting(run, row["key"])]
        others = [as_json(value) for value in ours if value != json.loads(row["value"])]
        if others:
            found.append(f"{row['key']} {', '.join(dict.fromkeys(others))} ({row['value']})")
    return found


def as_json(value: Any) -> str:
    """A value of the config as text that does not depend on the order of keys."""
    return json.dumps(value, sort_keys=True, default=lambda inner: inner.model_dump(mode="json"))
