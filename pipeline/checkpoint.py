"""Checkpoints of a training run, kept outside the declared outputs, which Snakemake deletes.

The folder's name holds a hash of everything the run depends on, so a changed run never continues a stale one.
"""

import hashlib
import json
import shutil
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from pipeline.atomic import replacing


class Checkpoint:
    """The last good state of one run, as `folder/<hash>/last.pt`."""

    def __init__(
        self, folder: Path, settings: Mapping[str, Any], code: str | None, inputs: Iterable[Path], minutes: float
    ):
        digest = hashlib.sha256(json.dumps([settings, code], sort_keys=True).encode())
        for path in inputs:
            digest.update(path.read_bytes())
        self.path = folder / digest.hexdigest()[:16] / "last.pt"
        self._seconds = 60 * minutes
        self._saved = time.monotonic()

    def load(self, device: torch.device) -> dict[str, Any] | None:
        """The state last saved, or None."""
        return torch.load(self.path, map_location=device, weights_only=True) if self.path.exists() else None

    def due(self) -> bool:
        """Whether it is time to save again."""
        return time.monotonic() - self._saved >= self._seconds

    def save(self, state: Mapping[str, Any]) -> None:
        with replacing(self.path) as part:
            torch.save(dict(state), part)
        self._saved = time.monotonic()

    def remove(self) -> None:
        """Drop what the finished run no longer needs."""
        shutil.rmtree(self.path.parent, ignore_errors=True)

    def describe(self) -> str:
        """For messages: where the last good state is."""
        return str(self.path) if self.path.exists() else "none was saved yet"
