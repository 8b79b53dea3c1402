"""Checks whether a Slurm cluster can meet the jobs' requests, before thousands of jobs fail or wait for ever."""

import re
import subprocess
from collections.abc import Iterable
from typing import NamedTuple

from pipeline.errors import InputError

_QUERY = ("sinfo", "--noheader", "--exact", "--format", "%P|%l|%c|%m|%G")


class Request(NamedTuple):
    """The most that a stage's jobs request; each job runs on one node."""

    stage: str
    partition: str | None
    """One or several, separated by commas; None is the cluster's default."""
    cpus: int
    memory_mb: int
    minutes: int | None
    gpus: int
    gpu_type: str
    """'' is any type."""


class Nodes(NamedTuple):
    """Nodes of one partition with the same resources."""

    partition: str
    default: bool
    minutes: float
    cpus: int
    memory_mb: int
    gpus: dict[str, int]
    """Type -> number on a node, as `gpus_of` gives them."""


def find_nodes(patience: float = 60) -> list[Nodes]:
    """The cluster's nodes, as Slurm lists them within so many seconds. Raises InputError if it does not."""
    try:
        asked = subprocess.run(_QUERY, capture_output=True, text=True, check=False, timeout=patience)
    except subprocess.TimeoutExpired:
        raise InputError(
            f"sinfo gave no answer within {patience:g} s; try again when Slurm's controller answers"
        ) from None
    if asked.returncode:
        raise InputError(f"{' '.join(_QUERY)}: {asked.stderr.strip()}")
    return nodes_of(asked.stdout)


def nodes_of(text: str) -> list[Nodes]:
    """The nodes in the output of sinfo."""
    found = []
    for line in text.splitlines():
        name, limit, cpus, memory, devices = line.strip().split("|")
        default = name.endswith("*")
        found.append(Nodes(name.rstrip("*"), default, _minutes(limit), int(cpus), int(memory), gpus_of(devices)))
    return found


def gpus_of(gres: str) -> dict[str, int]:
    """Type -> number of the GPUs in Slurm's generic resources, as `gpu:a100:4(S:0-1),mps:200`; without a type, it is ''."""
    kind_and_count = r"(?:^|,)gpu(?::(?!\d+(?:[,(]|$))([^:,(]+))?(?::(\d+))?(?=[,(]|$)"
    return {kind.lower(): int(count or 1) for kind, count in re.findall(kind_and_count, gres)}


def complaints(requests: Iterable[Request], nodes: list[Nodes]) -> list[str]:
    """One sentence for each request that the cluster cannot meet."""
    stages: dict[str, set[str]] = {}
    for request in requests:
        if complaint := _complaint(request, nodes):
            stages.setdefault(complaint, set()).add(request.stage)
    return [f"{', '.join(sorted(asking))}: {complaint}" for complaint, asking in stages.items()]


def _complaint(request: Request, nodes: list[Nodes]) -> str | None:
    known = ", ".join(sorted({each.partition for each in nodes}))
    names = request.partition.split(",") if request.partition else [each.partition for each in nodes if each.default]
    if not names:
        return f"no partition is named, and the cluster has no default; it has: {known}"
    if unknown := [name for name in names if name not in {each.partition for each in nodes}]:
        return f"the cluster has no partition {unknown[0]!r}; it has: {known}"
    if request.minutes is None:
        return "no run time is requested: --default-resources and --set-resources replace the profile's whole tables; give `runtime` there"
    there = [each for each in nodes if each.partition in names]
    where = f"in the partition {' or '.join(dict.fromkeys(names))}"
    if request.minutes > (most := max(each.minutes for each in there)):
        return f"{request.minutes} minutes are requested, but jobs {where} may take at most {most:.0f}"
    kinds = sorted({kind for each in there for kind in each.gpus})
    if request.gpu_type and request.gpu_type.lower() not in kinds:
        return f"no node {where} has GPUs of the type {request.gpu_type!r}; types there: {', '.join(filter(None, kinds)) or 'none'}"
    for asked, has, what in (
        (request.gpus, lambda each: _gpus(each, request.gpu_type), "GPUs"),
        (request.memory_mb, lambda each: each.memory_mb, "MB of memory (in the last attempt)"),
        (request.cpus, lambda each: each.cpus, "cores"),
    ):
        if asked > (most := max(map(has, there))):
            return f"{asked} {what} are requested, but no node {where} has more than {most}"
    if not any(_fits(request, each) for each in there):
        return (
            f"no node {where} has all of {request.gpus} GPUs, {request.memory_mb} MB of memory, {request.cpus} cores"
            f" and {request.minutes} minutes"
        )
    return None


def _fits(request: Request, nodes: Nodes) -> bool:
    return (
        request.minutes <= nodes.minutes
        and request.gpus <= _gpus(nodes, request.gpu_type)
        and request.memory_mb <= nodes.memory_mb
        and request.cpus <= nodes.cpus
    )


def _gpus(nodes: Nodes, kind: str) -> int:
    return nodes.gpus.get(kind.lower(), 0) if kind else sum(nodes.gpus.values())


def _minutes(limit: str) -> float:
    """Minutes of Slurm's `days-hours:minutes:seconds`; the first ones may be missing."""
    if not re.fullmatch(r"[\d:-]+", limit):  # infinite, or n/a where a partition has no nodes
        return float("inf")
    days, _, rest = limit.rpartition("-")
    hours, minutes, seconds = ["0", "0", *rest.split(":")][-3:]
    return 1440 * int(days or 0) + 60 * int(hours) + int(minutes) + int(seconds) / 60
