"""Files that appear whole or not at all."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.errors import InputError, Superseded

_permission: list[Callable[[], None]] = []


def ask_before_writing(require: Callable[[], None]) -> None:
    """Call `require` from now on before anything is written or removed; it raises Superseded to forbid that."""
    _permission[:] = [require]


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A path to write to; on success it is flushed to disk and takes the place of `path`.

    Raises Superseded, and changes nothing, where another attempt at the job has begun meanwhile; and OSError for a full disk,
    whatever the library that wrote calls it.
    """
    _require_permission()
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part{path.suffix}")
    part.unlink(missing_ok=True)  # a file of its own: a lost attempt may still be writing into the old one
    with _removed_on_failure(part):
        with _disks_words(part):
            yield part
        _require_permission()
        _flush(part)
        part.replace(path)
        _flush(path.parent)


@contextmanager
def replacing_files(folder: Path) -> Iterator[Path]:
    """A folder to write to, for libraries that choose the names; on success each file takes its place in `folder`.

    Raises as `replacing` does.
    """
    _require_permission()
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    with _removed_on_failure(part):
        with _disks_words(part / "more"):
            yield part
        for written in part.iterdir():
            with replacing(folder / written.name) as file:
                written.replace(file)
        part.rmdir()


@contextmanager
def _removed_on_failure(part: Path) -> Iterator[None]:
    try:
        yield
    except BaseException:
        _require_permission()  # where another attempt has begun, what lies there is that one's
        shutil.rmtree(part, ignore_errors=True)
        part.unlink(missing_ok=True)
        raise


@contextmanager
def _disks_words(part: Path) -> Iterator[None]:
    """Instead of a library's own words for a full disk, or none, what the disk says to another megabyte in `part`."""
    try:
        yield
    except Exception as error:
        if not isinstance(error, InputError | Superseded) and not getattr(error, "errno", None):
            _require_permission()
            try:
                with open(part, "ab") as file:
                    file.write(bytes(2**20))
            except OSError as fault:
                fault.filename = str(part)
                raise fault from error
        raise


def _flush(path: Path) -> None:
    """Down to the disk: a file's bytes, or the names in a folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _require_permission() -> None:
    for require in _permission:
        require()
