"""Remaking of damaged artifacts so that nothing that was made of them has to be made again.

What is remade gets its old time stamp if it can be shown to be what it was, byte for byte: the old file is the same, or the old
tables, damaged as they may be, hold the digest of the new one.
"""

import os
import re
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from pipeline.artifacts import digests, shards
from pipeline.artifacts.damage import SET_ASIDE
from pipeline.errors import InputError

_JOBS = {  # stage, each after those whose outputs it reads -> what a job's outputs begin with; the first that fits counts
    "subset": r"[^/]+/subset/pictures\.",
    "store": r"[^/]+/subset/real/shard-\d+\.",
    "manifest": r"[^/]+/subset/",
    "plan": r"[^/]+/plan/[^/]+/",
    "sample": r"[^/]+/sample/[^/]+/shard-\d+\.",
    "features": r"[^/]+/features/[^/]+/[^/]+/",
    "score": r"[^/]+/score/[^/]+/shard-\d+\.",
    "select": r"[^/]+/select/[^/]+/",
    "evaluate": r"[^/]+/evaluate/[^/]+/[^/]+/",
    "quality": r"[^/]+/quality/[^/]+/",
    "grid": r"[^/]+/grid/[^/]+\.",
    "describe": r"[^/]+/describe/",
    "throughput": r"[^/]+/cost/throughput\.",
    "cost": r"[^/]+/cost/cost\.",
    "tables": r"tables/[^/]+\.",
    "summary": r"[^/]+/(results|summary)\.",
}
_ONE_JOB = 60 * 10**9
"""Nanoseconds within which a job's outputs appear."""


def repair(damage: Mapping[Path, str], root: Path, command: Sequence[str]) -> bool:
    """Remake what is damaged under `root`; whether all of it is whole now.

    `command` and paths behind it make a program remake these files, if they are missing, and nothing else; "{stage}" in it
    becomes the stage that makes them. Where it fails, the damaged files are put back. Raises InputError where trained weights are damaged.
    """
    jobs: dict[str, set[str]] = {}
    for path in damage:
        stage, outputs = job_of(path, root) or (None, None)
        if stage is None:
            raise InputError(
                f"{path} is no file that a repair remakes, for it may take days of training; put a copy of it there, or remove it "
                "and run snakemake again, which makes anew whatever follows from it"
            )
        jobs.setdefault(stage, set()).add(outputs)
        if _aside(path).exists():
            _aside(path).replace(path)
    return all([_remade(stage, sorted(jobs[stage]), set(damage), root, command) for stage in _JOBS if stage in jobs])


def job_of(path: Path, root: Path) -> tuple[str, str] | None:
    """The stage that makes a file, and what the paths of its job's outputs begin with; None where a repair does not remake it."""
    for stage, pattern in _JOBS.items():
        if found := re.match(pattern, path.relative_to(root).as_posix()):
            return stage, found[0]
    return None


def _remade(stage: str, jobs: list[str], damage: set[Path], root: Path, command: Sequence[str]) -> bool:
    """Remake the outputs of one stage's jobs; whether all are there."""
    outputs = {job: _outputs(stage, job, damage, root) for job in jobs}
    times = {path: path.stat().st_mtime_ns for paths in outputs.values() for path in paths if path.exists()}
    for path in times:
        path.replace(_aside(path))
    try:
        _run(
            [word.replace("{stage}", stage) for word in command] + [str(path) for job in jobs for path in outputs[job]]
        )
    finally:
        whole = [_settle(root / job, outputs[job], damage, times) for job in jobs]
    return all(whole)


def _outputs(stage: str, job: str, damage: set[Path], root: Path) -> list[Path]:
    """A job's outputs: those that are there, and those that are missing."""
    beside = [path for path in (root / f"{job}x").parent.glob("*") if path.is_file() and not path.name.startswith(".")]
    return sorted(path for path in {*beside, *damage} if job_of(path, root) == (stage, job))


def _run(command: list[str]) -> None:
    with subprocess.Popen(command) as program:
        try:
            program.wait()
        except KeyboardInterrupt:  # it has been told too, and may have jobs to end
            program.wait()
            raise


def _settle(job: Path, paths: list[Path], damage: set[Path], times: Mapping[Path, int]) -> bool:
    """Restore a remade job's time stamps, or its old files where it was not remade; whether it was."""
    if not all(path.exists() for path in paths):
        for path in paths:
            if _aside(path).exists():
                _aside(path).replace(path)
        print(f"{job}*: not remade; the damaged files are as they were", flush=True)
        return False
    if all(_is_same(path, paths) for path in paths):
        for path in paths:
            if time := _old_time(path, paths, damage, times):
                os.utime(path, ns=(time, time))
        print(f"{job}*: remade, byte for byte as it was", flush=True)
    elif any(path not in damage and digests.digest(path) != digests.digest(_aside(path)) for path in paths):
        print(f"{job}*: remade, but not as it was, so that what follows has to be made again", flush=True)
    else:
        print(
            f"{job}*: remade; nothing left of it tells whether it is as it was, so that what follows has to be made again",
            flush=True,
        )
    for path in paths:
        _aside(path).unlink(missing_ok=True)
    return True


def _old_time(path: Path, paths: Iterable[Path], damage: set[Path], times: Mapping[Path, int]) -> int | None:
    """A file's time stamp before it was damaged: what damaged it, or removed it, may have changed that."""
    others = [times[other] for other in paths if other in times and other not in damage]
    own = times.get(path)
    if others and (own is None or own > max(others) + _ONE_JOB):
        return max(others)
    return own


def _is_same(path: Path, paths: Iterable[Path]) -> bool:
    """Whether a remade file can be shown to be what it was."""
    old, found, seal = _aside(path), digests.digest(path), digests.stated(path)
    if old.exists() and (digests.digest(old) == found or (seal and digests.stated(old) == seal)):
        return True
    tables = [_aside(other) for other in paths if other.suffix == ".parquet" and _aside(other).exists()]
    if any(found.encode() in table.read_bytes() for table in tables):
        return True
    if path.suffix != ".parquet" or path.with_suffix(".tar") not in paths:
        return False
    # an index follows from the records of its shard
    return all(_is_same(path.parent / name, paths) for name in shards.said(path)["beside"])


def _aside(path: Path) -> Path:
    return path.with_name(SET_ASIDE.format(path.name))
