"""Jobs times figures: hours, bytes, and better numbers of shards."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

from pipeline.costs.figures import (
    BYTES_A_PICTURE,
    BYTES_A_STATE,
    BYTES_OF_CHECKPOINT,
    BYTES_OF_WEIGHTS,
    Figure,
)
from pipeline.costs.jobs import Job
from pipeline.costs.wall_time import critical_seconds, wall_seconds

COLUMNS = (
    "stage",
    "part",
    "jobs",
    "gpu_hours",
    "other_hours",
    "longest_job_minutes",
    "disk_bytes",
    "checkpoint_bytes",
)
KEPT = (BYTES_A_PICTURE, BYTES_A_STATE, BYTES_OF_WEIGHTS)
SHORTEST, BEST, LONGEST = 600.0, 1800.0, 3600.0
"""Shortest, best and longest job of a shard, in seconds."""
MOST_SHARDS = 100_000


def seconds_of(jobs: Iterable[Job], values: Mapping[Figure, float]) -> list[float]:
    """Time of each job, in seconds."""
    return [
        sum(amount * values[figure] for figure, amount in job.work.items() if figure.quantity.startswith("seconds"))
        for job in jobs
    ]


def by_part(
    jobs: Sequence[Job], seconds: Sequence[float], values: Mapping[Figure, float], origins: Mapping[Figure, str]
) -> pd.DataFrame:
    """Table with a row for each stage and part, in the order of the workflow.

    jobs (their number), gpu_hours, other_hours (of jobs without a GPU), longest_job_minutes, disk_bytes (of kept files),
    checkpoint_bytes (of one job, while it runs), times (origin of its time figures: "measured", "given", or both).
    """
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    used: dict[tuple[str, str], set[str]] = {}
    for job, own in zip(jobs, seconds, strict=True):
        key = job.stage, job.part
        row = rows.setdefault(key, dict.fromkeys(COLUMNS, 0.0) | {"stage": job.stage, "part": job.part, "jobs": 0})
        row["jobs"] += 1
        row["gpu_hours" if job.gpus else "other_hours"] += max(job.gpus, 1) * own / 3600
        row["longest_job_minutes"] = max(row["longest_job_minutes"], own / 60)
        for figure, amount in job.work.items():
            if figure.quantity in KEPT:
                row["disk_bytes"] += amount * values[figure]
            elif figure.quantity == BYTES_OF_CHECKPOINT:
                row["checkpoint_bytes"] = amount * values[figure]
            else:
                used.setdefault(key, set()).add(origins[figure])
    table = pd.DataFrame(rows.values())
    return table.assign(times=[", ".join(sorted(used[key])) for key in rows])


def walls(jobs: Sequence[Job], seconds: Sequence[float]) -> pd.DataFrame:
    """Wall seconds for 1, 2, 4, ... GPUs, from the number that the largest job needs until more would save under 5 %."""
    shortest = critical_seconds(jobs, seconds)
    gpus = 2 ** math.ceil(math.log2(max(1, *(job.gpus for job in jobs))))
    rows = [(gpus, wall_seconds(jobs, seconds, gpus))]
    while rows[-1][1] > 1.05 * shortest:
        gpus *= 2
        rows.append((gpus, wall_seconds(jobs, seconds, gpus)))
    return pd.DataFrame(rows, columns=["gpus", "seconds"])


class Advice(NamedTuple):
    """A pool with shards that take less than ten minutes or more than an hour, and a better number of shards."""

    pool: str
    shards: int
    minutes: float
    better: int


def better_shards(config: Mapping[str, Any], jobs: Sequence[Job], seconds: Sequence[float]) -> list[Advice]:
    """Pools with a better number of shards. A shard has at least one batch, because a smaller batch is padded."""
    found = []
    for pool, part in config["pools"].items():
        ours = [own for job, own in zip(jobs, seconds, strict=True) if (job.stage, job.part) == ("sample", pool)]
        pictures = sum(job.work.get(Figure("sample", pool, BYTES_A_PICTURE), 0) for job in jobs)
        batches = math.ceil(pictures / part["batch_size"])
        better = max(1, min(round(sum(ours) / BEST), batches, MOST_SHARDS))
        if not SHORTEST <= max(ours) <= LONGEST and better != part["shards"]:
            found.append(Advice(pool, part["shards"], max(ours) / 60, better))
    return found
