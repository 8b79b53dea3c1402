"""The published tables of times, and our pools for their rows."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.config import reads
from pipeline.config.artifacts import locate
from pipeline.config.differences import published_rows
from pipeline.config.workflow import Workflow
from pipeline.errors import InputError


def timed_tables(folder: Path) -> dict[str, Path]:
    """Name -> file of every published table of times: `ldm_fg_4` -> `folder`/ldm_fg/times_4.csv."""
    return {
        f"{path.parent.name}_{path.stem.removeprefix('times_')}": path for path in sorted(folder.glob("*/times_*.csv"))
    }


def timed_rows(flow: Workflow, table: Path) -> list[dict[str, Any]]:
    """For each row, the settings and inputs of its pool's sampler, and its plan. Raises InputError for an unknown pool."""
    found = []
    for where in _jobs(flow, table):
        dataset, name = where["dataset"], where["name"]
        found.append(
            {
                "plan": locate("plan", dataset=dataset, name=name),
                "settings": reads.settings(flow, "sample", where),
                "inputs": reads.inputs(flow, "sample", where),
            }
        )
    return found


def timed_modules(flow: Workflow, table: Path) -> list[str]:
    """The modules of all samplers, without repetitions."""
    found = [module for where in _jobs(flow, table) for module in reads.modules(flow, "sample", where)]
    return list(dict.fromkeys(module for module in found if not module.startswith("stages.")))


def _jobs(flow: Workflow, table: Path) -> Iterator[dict[str, str]]:
    """Wildcards of the first sampling job of each row's pool."""
    for row in published_rows(table, "row", "dataset", "pool", "published", "note"):
        dataset, name = row["dataset"], row["pool"]
        if dataset not in flow.parts["datasets"] or name not in flow.parts["pools"]:
            raise InputError(f"{table}: there is no pool '{name}', or no data set '{dataset}'; correct the row")
        yield {"dataset": flow.home("pools", name, dataset), "name": name, "shard": "00000"}
