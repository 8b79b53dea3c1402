"""Answers that were paid for, kept on disk by request: a file for each request, with a line for each of its answers."""

import hashlib
import json
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class KeptAnswers:
    """The answers to one request, `folder/<SHA-256 of the request>.jsonl`, by their number from 0.

    The lines of several jobs may be in one file, and the last line may be cut off. Of two answers with the same number, the first
    counts.
    """

    def __init__(self, folder: Path, request: Mapping[str, Any]):
        canonical = json.dumps(request, sort_keys=True, ensure_ascii=False)
        self._path = folder / f"{hashlib.sha256(canonical.encode()).hexdigest()}.jsonl"
        self._lock = threading.Lock()
        self.found: dict[int, str] = {}
        """Number -> answer."""
        for line in self._path.read_bytes().splitlines() if self._path.exists() else ():
            try:
                row = json.loads(line)
                self.found.setdefault(row["number"], row["answer"])
            except (ValueError, KeyError, TypeError):  # cut off
                continue

    def add(self, number: int, answer: str) -> None:
        """Keep an answer; it is on the disk when this returns."""
        line = json.dumps({"number": number, "answer": answer})
        with self._lock:
            self.found.setdefault(number, answer)
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with open(self._path, "ab", buffering=0) as file:
                # a line of its own, even if the one before was cut off; empty lines are skipped
                file.write(f"\n{line}\n".encode())
                os.fsync(file.fileno())
