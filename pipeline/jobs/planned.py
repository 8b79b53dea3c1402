"""What a run planned before its first job, kept for its jobs on other machines.

Jobs may wait in a queue for days, while people edit the config and the code. So a job does not resolve them again: it gets the
inputs, the parameters and the command that its run has kept, and its stage refuses code with another fingerprint.
"""

import hashlib
import json
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pipeline.artifacts.atomic import replacing
from pipeline.errors import InputError

_DIGESTS = "workflow"
Wildcards = Mapping[str, str]


def keep(path: Path, jobs: Iterable[tuple[str, Wildcards, Mapping[str, Any]]], workflow: Iterable[Path]) -> None:
    """Write the rule, the wildcards and the plan of each job, with the digests of the files of the workflow itself.

    A plan has texts, paths, numbers, lists and mappings. A job reads its own alone: a run has thousands.
    """
    with replacing(path) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
        file.writestr(_DIGESTS, json.dumps(_digests(workflow)))
        for rule, wildcards, plan in jobs:
            file.writestr(_name(rule, wildcards), json.dumps(plan, default=str))


def kept(path: Path, jobs: Iterable[tuple[str, Wildcards]], workflow: Iterable[Path]) -> list[dict[str, Any]]:
    """The plans of jobs. Raises InputError if their run has ended, or if a file of the workflow was edited."""
    try:
        with zipfile.ZipFile(path) as file:
            before, now = json.loads(file.read(_DIGESTS)), _digests(workflow)
            plans = [json.loads(file.read(_name(*job))) for job in jobs]
    except FileNotFoundError:
        raise InputError(f"the run of this job has ended ({path} is missing); start snakemake again") from None
    if edited := sorted(name for name in before | now if before.get(name) != now.get(name)):
        raise InputError(f"{edited[0]} was edited after this run was planned; undo the edit, or start snakemake again")
    return plans


def _name(rule: str, wildcards: Wildcards) -> str:
    return "/".join([rule, *(f"{key}={wildcards[key]}" for key in sorted(wildcards))])


def _digests(files: Iterable[Path]) -> dict[str, str]:
    return {str(file): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
