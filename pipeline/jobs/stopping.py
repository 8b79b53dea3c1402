"""A wish that a stage ends soon: SIGTERM, which Slurm sends at a time limit, or Ctrl-C.

A stage that keeps checkpoints puts the end off until it has saved; any other ends at once.
"""

import signal
import sys

_wish: int | None = None
_deferred = False


def listen() -> None:
    """Hear wishes from now on."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _hear)


def defer() -> None:
    """From now on the stage looks by itself whether it is to end; but a second Ctrl-C ends it at once."""
    global _deferred
    _deferred = True


def wished() -> bool:
    """Whether the stage is to end as soon as it has saved."""
    return _wish is not None


def end() -> None:
    """End the process with the status of one that the signal has ended."""
    sys.exit(128 + (_wish or signal.SIGTERM))


def _hear(number: int, frame: object) -> None:
    global _wish
    again, _wish = (
        number == _wish == signal.SIGINT,
        number,
    )  # SIGTERM is repeated by Slurm and torchrun; SIGKILL follows
    if again or not _deferred:
        end()
