"""The work that a job has done so far, kept outside the declared outputs, because Snakemake deletes these.

It deletes them even after the job, if it takes that for failed: for its log, or for the time of a file. So the work stays until the
outputs were accepted. A folder's name has a hash of everything the run depends on, so a changed run never continues a stale one.
"""

import hashlib
import io
import json
import os
import shutil
import sys
import time
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipeline.artifacts.atomic import replacing
from pipeline.jobs import FINISHED, RUN, stopping

LARGE = 2**26
"""Larger files, in bytes, count by size and time instead of content, because hashing gigabytes would delay each job's start."""
_DIGEST_SIZE = 32


class Checkpoint:
    """The last good state of a training run, `folder/<hash>/last.pt`; due on a timer, and before the process ends by SIGTERM."""

    def __init__(
        self,
        folder: Path,
        settings: Mapping[str, Any],
        code: str | None,
        inputs: Iterable[Path],
        minutes: float,
        start: Callable[[], dict[str, Any]] | None = None,
    ):
        """`start` gives the last state of another run, which this one continues."""
        self.path = _run_folder(folder, settings, code, inputs) / "last.pt"
        self.loaded_from = str(self.path)
        """Where `load` found the state, for messages."""
        self._start = start
        self._seconds = 60 * minutes
        self._saved = time.monotonic()
        stopping.defer()

    def load(self) -> dict[str, Any] | None:
        """The last saved state, or the one to start from, or None; a damaged file is reported, and counts as none.

        It is on the CPU, and networks and optimizers copy it to their device. Only an optimizer's counts of steps stay,
        because it reads them at every step and must not wait for a GPU.
        """
        try:
            with zipfile.ZipFile(self.path) as file:  # torch writes checksums, but does not check them
                if damaged := file.testzip():
                    raise ValueError(f"the checksum of {damaged} is wrong")
            return torch.load(self.path, map_location="cpu", weights_only=True)
        except FileNotFoundError:
            pass
        except (OSError, MemoryError, torch.OutOfMemoryError, torch.AcceleratorError):
            raise  # the file, which is days of work, is not at fault
        except Exception as error:  # damaged zip files and pickles raise many kinds of errors
            print(f"{self.path} is damaged ({error}); starting over", flush=True)
        if self._start is None:
            return None
        self.loaded_from = "the end of another run"
        return self._start()

    def due(self) -> bool:
        """Whether it is time to save again."""
        return stopping.wished() or time.monotonic() - self._saved >= self._seconds

    def save(self, state: Mapping[str, Any]) -> None:
        """Replace the last state; then end the process, if a stop was requested."""
        with replacing(self.path) as part:
            torch.save(_interned(dict(state)), part)
        self._saved = time.monotonic()
        if stopping.wished():
            with suppress(OSError):  # the reader of our lines may have ended
                print(f"stopped as asked; the next run continues from {self.path}", flush=True)
            stopping.end()

    def finish(self) -> None:
        """Say that the outputs are written: the state may be deleted."""
        _finish(self.path.parent)

    def describe(self) -> str:
        """Place of the last good state, for messages."""
        return str(self.path) if self.path.exists() else "none was saved yet"


def _interned(value: Any) -> Any:
    """The same, with one object for all equal strings: torch's files tell such objects apart, and a loaded state has others."""
    if type(value) in (dict, OrderedDict):
        made = type(value)((_interned(key), _interned(inner)) for key, inner in value.items())
        if isinstance(value, OrderedDict):  # a module's, with the versions of its parts
            vars(made).update(_interned(vars(value)))
        return made
    if type(value) in (list, tuple):
        return type(value)(map(_interned, value))
    return sys.intern(value) if type(value) is str else value


class Pieces:
    """The finished pieces of a shard, arrays of some rows each, as `folder/<hash>/00000.npy` and so on.

    A damaged piece is made again, and so are those after it.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any], code: str | None, inputs: Iterable[Path]):
        self._folder = _run_folder(folder, settings, code, inputs)

    def continued(self, make: Callable[[int], Iterator[np.ndarray]]) -> Iterator[np.ndarray]:
        """The saved pieces, and then those of `make(number of saved rows)`, each saved before it is given."""
        rows = count = 0
        while (piece := _loaded(self._path(count))) is not None:
            yield piece
            rows, count = rows + len(piece), count + 1
        if count:
            print(f"continuing after {rows} rows from {self._folder}", flush=True)
        for number, piece in enumerate(make(rows), count):
            _save(piece, self._path(number))
            yield piece

    def finish(self) -> None:
        """Say that the shard is written: the pieces may be deleted."""
        _finish(self._folder)

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:05d}.npy"


def _save(piece: np.ndarray, path: Path) -> None:
    """Write a piece, followed by its SHA-256, which NumPy does not read."""
    content = io.BytesIO()
    np.save(content, piece)
    with replacing(path) as part:
        part.write_bytes(content.getvalue() + hashlib.sha256(content.getbuffer()).digest())


def _loaded(path: Path) -> np.ndarray | None:
    """The piece at `path`; None if it is missing, or damaged, which is reported."""
    try:
        written = path.read_bytes()
    except OSError:
        return None
    content, digest = written[:-_DIGEST_SIZE], written[-_DIGEST_SIZE:]
    if hashlib.sha256(content).digest() != digest:
        print(f"{path} is damaged; it and the pieces after it are made again", flush=True)
        return None
    return np.load(io.BytesIO(content))


def _finish(folder: Path) -> None:
    """Leave the folder to the scheduler, which deletes it once it has accepted the outputs; without one, delete it."""
    if RUN in os.environ and folder.exists():
        (folder / FINISHED).touch()
    else:
        shutil.rmtree(folder, ignore_errors=True)


def _run_folder(folder: Path, settings: Mapping[str, Any], code: str | None, inputs: Iterable[Path]) -> Path:
    digest = hashlib.sha256(json.dumps([settings, code], sort_keys=True).encode())
    for path in inputs:
        about = path.stat()
        large = f"{path} {about.st_size} {about.st_mtime_ns}".encode() if about.st_size > LARGE else None
        digest.update(large or path.read_bytes())
    return folder / digest.hexdigest()[:16]
