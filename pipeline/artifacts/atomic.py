"""Files that appear whole or not at all."""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from pipeline.errors import InputError, Superseded

_permission: list[Callable[[], None]] = []


def ask_before_writing(require: Callable[[], None]) -> None:
    """Call `require` before each later write or removal. It raises Superseded to forbid it."""
    _permission[:] = [require]


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a path to write to; on success, flush the written file to disk and rename it to `path`.

    The file has the permissions of any new file there, even if the library that writes gives it others, as safetensors does.
    Raises Superseded, and changes nothing, if a later attempt at the job has begun. Raises OSError if the disk is full, even
    if the library that writes raises another error.
    """
    _require_permission()
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part{path.suffix}")
    part.unlink(missing_ok=True)  # a new file, because a lost attempt may still be writing into the old one
    with _removed_on_failure(part):
        part.touch()
        mode = part.stat().st_mode
        with _disks_words(part):
            yield part
        _require_permission()
        if part.stat().st_mode != mode:
            part.chmod(mode)
        _flush(part)
        part.replace(path)
        _flush(path.parent)


@contextmanager
def replacing_files(folder: Path) -> Iterator[Path]:
    """Give a folder to write to, for libraries that choose the file names; on success, move each file to `folder`.

    Raises the same errors as `replacing`.
    """
    _require_permission()
    part = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    with _removed_on_failure(part):
        with _disks_words(part / "more"):
            yield part
        for written in sorted(path for path in part.rglob("*") if path.is_file()):
            with replacing(folder / written.relative_to(part)) as file:
                written.replace(file)
        shutil.rmtree(part)


@contextmanager
def _removed_on_failure(part: Path) -> Iterator[None]:
    try:
        yield
    except BaseException:
        _require_permission()  # if another attempt has begun, the file is its own
        shutil.rmtree(part, ignore_errors=True)
        part.unlink(missing_ok=True)
        raise


@contextmanager
def _disks_words(part: Path) -> Iterator[None]:
    """Replace a library's error with the disk's own: the one that it quotes, or that of writing 1 MiB more to `part`."""
    try:
        yield
    except Exception as error:
        if not isinstance(error, InputError | Superseded) and not getattr(error, "errno", None):
            _require_permission()
            if quoted := re.search(r"\(os error (\d+)\)", str(error)):  # as libraries in Rust do
                number = int(quoted[1])
                raise OSError(number, os.strerror(number), str(part)) from error
            try:
                with open(part, "ab") as file:
                    file.write(bytes(2**20))
            except OSError as fault:
                fault.filename = str(part)
                raise fault from error
        raise


def _flush(path: Path) -> None:
    """Force a file's bytes, or the names in a folder, onto the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _require_permission() -> None:
    for require in _permission:
        require()
