"""Lets only the latest attempt at a job write its output.

A node that no longer answers may still run its job when Slurm starts the job again elsewhere. Each attempt writes its name to
`.NAME.claim` beside the output. An attempt that finds another name there has been replaced, and stops. Locks would not help,
because many network file systems have none.
"""

import os
import socket
import uuid
from contextlib import suppress
from pathlib import Path

from pipeline.artifacts import atomic
from pipeline.errors import Superseded

_held: tuple[Path, str] | None = None


def claim(output: Path) -> None:
    """Let only this process write `output`, a file or a folder, until another process claims it."""
    global _held
    path = output.with_name(f".{output.name}.claim")
    name = f"process {os.getpid()} on {socket.gethostname()} ({uuid.uuid4()})"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(name, encoding="utf-8")  # in place, so that after a kill the next attempt overwrites it
    _held = path, name
    atomic.ask_before_writing(require)


def require() -> None:
    """Raise Superseded if another process has claimed this process's output."""
    if _held and (now := _written()) != _held[1]:
        raise Superseded(
            f"{_held[0].parent} now belongs to another attempt, {now or 'which has ended'}; "
            "this attempt stops and changes nothing"
        )


def release() -> None:
    """Give up the claim of this process, if it still holds it."""
    global _held
    if _held and _written() == _held[1]:
        with suppress(OSError):  # if the disk is gone, the next attempt overwrites the claim
            _held[0].unlink()
    _held = None


def _written() -> str:
    try:
        return _held[0].read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""
