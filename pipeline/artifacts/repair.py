"""Repair: damaged artifacts are remade, and whatever was made from them stays valid if their bytes are the same.

A remade file gets its old time stamp if it is shown to be the same byte for byte. The old file may prove it, or an old table,
even a damaged one, that holds the digest of the new file.
"""

import os
import subprocess
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from pipeline.artifacts import digests, made
from pipeline.artifacts.damage import SET_ASIDE
from pipeline.errors import InputError

_ONE_JOB = 60 * 10**9
"""Longest time between a job's outputs, in nanoseconds: one minute."""


class Job(NamedTuple):
    """A job that makes files: the number of its stage in the order of the workflow, the stage, and all its outputs."""

    order: int
    stage: str
    outputs: tuple[Path, ...]
    before: tuple[str, ...] = ()
    """Stages that may have to run before it."""

    def __str__(self) -> str:
        first, *others = sorted(map(str, self.outputs))
        same = next((i for i, letter in enumerate(first) if any(other[i : i + 1] != letter for other in others)), None)
        return first if same is None else f"{first[:same]}*"


def repair(
    damage: Iterable[Path], command: Sequence[str], job_of: Callable[[Path], Job | None], never: Container[str]
) -> bool:
    """Remake the damaged files; return whether all are whole now.

    `job_of` gives the job that makes a file, or None if there is none. `command`, followed by paths, must remake these
    files if they are missing, and nothing else. The stages that it may run replace its word {stage}. If it fails, the
    damaged files are put back. Raises InputError if no job makes one of them, or one of a stage in `never`.
    """
    damaged = set(damage)
    jobs: dict[str, set[Job]] = {}
    for path in sorted(damaged):
        job = job_of(path)
        if job is None:
            raise InputError(f"{path} is damaged or missing, and no job of the workflow makes it; restore a copy")
        if job.stage in never:
            raise InputError(
                f"{path} is damaged or missing, and a repair does not remake it, because that may take days of training; "
                f"restore a copy, or train it again: snakemake --profile local --force {job.outputs[0]}"
            )
        jobs.setdefault(job.stage, set()).add(job)
        if _aside(path).exists():
            _aside(path).replace(path)
    stages = sorted(map(sorted, jobs.values()))  # in the order of the workflow
    return all([_remade(found, damaged, command) for found in stages])


def _remade(jobs: list[Job], damage: set[Path], command: Sequence[str]) -> bool:
    """Remake the outputs of one stage's jobs; return whether all exist."""
    outputs = [path for job in jobs for path in job.outputs]
    times = {path: path.stat().st_mtime_ns for path in outputs if path.exists()}
    for path in times:
        path.replace(_aside(path))
    try:
        stages = dict.fromkeys(stage for job in jobs for stage in (*job.before, job.stage))
        words = [part for word in command for part in (stages if word == "{stage}" else [word])]
        _run(words + [str(path) for path in outputs])
    finally:
        whole = [_settle(job, damage, times) for job in jobs]
    return all(whole)


def _run(command: list[str]) -> None:
    with subprocess.Popen(command) as program:
        try:
            program.wait()
        except KeyboardInterrupt:  # the program gets the signal too, and may have jobs to stop
            program.wait()
            raise


def _settle(job: Job, damage: set[Path], times: Mapping[Path, int]) -> bool:
    """Restore a remade job's time stamps, or its old files if it was not remade; return whether it was."""
    paths = job.outputs
    if not all(path.exists() for path in paths):
        for path in paths:
            if _aside(path).exists():
                _aside(path).replace(path)
        print(f"{job}: not remade; the damaged files are back in place", flush=True)
        return False
    if all(_is_same(path, paths) for path in paths):
        for path in paths:
            if time := _old_time(path, paths, damage, times):
                os.utime(path, ns=(time, time))
        print(f"{job}: remade, byte for byte as before", flush=True)
    elif any(path not in damage and digests.digest(path) != digests.digest(_aside(path)) for path in paths):
        print(f"{job}: remade, but its bytes differ, so everything made from it must be remade too", flush=True)
    else:
        print(
            f"{job}: remade; nothing is left to compare it with, so everything made from it must be remade too, unless you"
            " know that nothing changed and say make accept TARGETS=...",
            flush=True,
        )
    for path in paths:
        _aside(path).unlink(missing_ok=True)
    return True


def _old_time(path: Path, paths: Iterable[Path], damage: set[Path], times: Mapping[Path, int]) -> int | None:
    """A file's time stamp before the damage, which may have changed or removed it."""
    others = [times[other] for other in paths if other in times and other not in damage]
    own = times.get(path)
    if others and (own is None or own > max(others) + _ONE_JOB):
        return max(others)
    return own


def _is_same(path: Path, paths: Iterable[Path]) -> bool:
    """Whether a remade file is shown to be the same as before."""
    old, found, seal = _aside(path), digests.digest(path), digests.stated(path)
    if old.exists() and (digests.digest(old) == found or (seal and digests.stated(old) == seal)):
        return True
    tables = [_aside(other) for other in paths if other.suffix == ".parquet" and _aside(other).exists()]
    if any(found.encode() in table.read_bytes() for table in tables):
        return True
    if path.suffix != ".parquet" or path.with_suffix(".tar") not in paths:
        return False
    # the records of a shard determine its index
    return all(_is_same(path.parent / name, paths) for name in made.about(path)["beside"])


def _aside(path: Path) -> Path:
    return path.with_name(SET_ASIDE.format(path.name))
