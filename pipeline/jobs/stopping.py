"""A request to stop: SIGTERM, which Slurm sends at a time limit, or Ctrl-C.

A stage with checkpoints saves one before it stops. Any other stage stops at once.
"""

import signal
import sys

_wish: int | None = None
_deferred = False


def listen() -> None:
    """Listen for requests from now on."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _hear)


def defer() -> None:
    """From now on, let the stage ask `wished` itself. A second Ctrl-C still stops it at once."""
    global _deferred
    _deferred = True


def wished() -> bool:
    """Whether the stage must stop as soon as it has saved."""
    return _wish is not None


def end() -> None:
    """Exit with the status of a process that the signal has ended."""
    sys.exit(128 + (_wish or signal.SIGTERM))


def _hear(number: int, frame: object) -> None:
    global _wish
    # only Ctrl-C counts twice: Slurm and torchrun repeat SIGTERM before they send SIGKILL
    again, _wish = number == _wish == signal.SIGINT, number
    if again or not _deferred:
        end()
