"""Whose output it is: the attempt that began last writes, and one that was given up for lost does not.

A node that no longer answers may still run its job when Slurm starts it again elsewhere. Each attempt leaves its name in `.NAME.claim`
beside the output; one that finds another name there has been replaced. Locks would not do: many network file systems have none.
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
    """Make this process the one that writes `output`, a file or a folder, until another one claims it."""
    global _held
    path = output.with_name(f".{output.name}.claim")
    name = f"process {os.getpid()} on {socket.gethostname()} ({uuid.uuid4()})"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(name)  # in place, so that a kill leaves nothing that the next attempt does not replace
    _held = path, name
    atomic.ask_before_writing(require)


def require() -> None:
    """Raise Superseded where another process has claimed what this one did."""
    if _held and (now := _written()) != _held[1]:
        raise Superseded(f"{_held[0].parent} is written by {now or 'nobody'} now; this attempt stops without a trace")


def release() -> None:
    """Give up what this process has claimed, if it still does."""
    global _held
    if _held and _written() == _held[1]:
        with suppress(OSError):  # a disk that has gone away meanwhile; the next attempt replaces it
            _held[0].unlink()
    _held = None


def _written() -> str:
    try:
        return _held[0].read_text()
    except FileNotFoundError:
        return ""
