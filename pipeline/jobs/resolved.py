"""What a run resolved before its first job, kept for its jobs on other machines.

Jobs may wait in a queue for days, while people edit the config and the code. So a job does not resolve them again: it uses what
its run has kept, and its stage refuses code with another fingerprint.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.artifacts.atomic import replacing
from pipeline.errors import InputError


class Resolved(NamedTuple):
    """The config with the presets, and for the modules of each kind of job, `first second ...`, the fingerprint of their code."""

    config: dict[str, Any]
    code: dict[str, str]


def keep(path: Path, resolved: Resolved, workflow: Iterable[Path]) -> None:
    """Write what a run resolved, with the digests of the files of the workflow itself, its rules for example."""
    digests = {str(file): hashlib.sha256(file.read_bytes()).hexdigest() for file in workflow}
    with replacing(path) as part:
        part.write_text(json.dumps({**resolved._asdict(), "workflow": digests}), encoding="utf-8")


def kept(path: Path, workflow: Iterable[Path]) -> Resolved:
    """What a run resolved. Raises InputError if the run has ended, or if a file of the workflow was edited."""
    try:
        found: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"the run of this job has ended ({path} is missing); start snakemake again") from None
    digests = {str(file): hashlib.sha256(file.read_bytes()).hexdigest() for file in workflow}
    if edited := sorted(
        name for name in digests | found["workflow"] if digests.get(name) != found["workflow"].get(name)
    ):
        raise InputError(f"{edited[0]} was edited after this run was planned; undo the edit, or start snakemake again")
    return Resolved(found["config"], found["code"])
