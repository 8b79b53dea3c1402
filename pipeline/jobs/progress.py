"""Progress of long loops, readable on a terminal, in log files, and when several jobs print at once."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")

SECONDS = 5.0


def progress(items: Iterable[Item], label: str, total: int, start: int = 0, unit: str = "step") -> Iterator[Item]:
    """Yield the items, with a bar on stderr: redrawn on a terminal, else a new line every 5 seconds."""
    if sys.stderr.isatty():
        yield from tqdm(items, label, total, initial=start, unit=unit)
        return
    began = shown = time.monotonic()
    done = start
    for item in items:
        yield item
        done += 1
        now = time.monotonic()
        if now - shown >= SECONDS or (done == total and shown > began):
            shown = now
            bar = tqdm.format_meter(
                done, total, now - began, ncols=100, prefix=label, ascii=" =", unit=unit, initial=start
            )
            print(bar, file=sys.stderr, flush=True)
