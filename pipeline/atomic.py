"""Files that appear whole or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pipeline import claim
from pipeline.errors import InputError, Superseded


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path to write to; on success it is flushed to disk and takes the place of `path`.

    Raises Superseded, and changes nothing, where another attempt at the job has begun meanwhile; and OSError for a full disk,
    whatever the library that wrote calls it.
    """
    claim.require()
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part{path.suffix}")
    part.unlink(missing_ok=True)  # a file of its own: a lost attempt may still be writing into the old one
    try:
        yield part
        claim.require()
        _flush(part)
        part.replace(path)
        _flush(path.parent)
    except Superseded:
        raise  # what lies there is the other's
    except BaseException as error:
        clear = isinstance(error, InputError) or not isinstance(error, Exception) or getattr(error, "errno", None)
        fault = None if clear else _fault_of_disk(part)
        with suppress(FileNotFoundError):
            part.unlink()
        if fault:
            raise fault from error
        raise


def _fault_of_disk(part: Path) -> OSError | None:
    """What the disk says to another megabyte in a file that could not be written."""
    try:
        with open(part, "ab") as file:
            file.write(bytes(2**20))
    except OSError as fault:
        return fault
    return None


def _flush(path: Path) -> None:
    """Down to the disk: a file's bytes, or the names in a folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
