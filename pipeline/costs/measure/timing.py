"""Timing on a CPU or GPU: medians of a few runs, with batches that fit the hardware."""

import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch

LONG = 1.0
"""Seconds from which on a step is long enough to be timed."""
REPEATS = 3


class Timed(NamedTuple):
    """Seconds of a step, and its batch size in pictures."""

    batch: int
    seconds: float

    @property
    def a_picture(self) -> float:
        return self.seconds / self.batch


class Trained(NamedTuple):
    """A step's time, and the bytes of the weights and of a checkpoint."""

    timed: Timed
    weights: int
    checkpoint: int


def seconds_of(run: Callable[[], object], device: torch.device) -> float:
    """Seconds that `run` takes, including all work that it started on the device."""
    began = _now(device)
    run()
    return _now(device) - began


def median_seconds(run: Callable[[], object], device: torch.device) -> float:
    return statistics.median(seconds_of(run, device) for _ in range(REPEATS))


def with_growing_batches(step_seconds: Callable[[int], float], least: int, most: int) -> Timed:
    """Time of a step with a batch of `most` pictures, or fewer if they take a second or do not fit into a GPU.

    The batch grows from `least` by factors of four, so that a slow machine runs out of neither time nor memory.
    """
    batch = min(least, most)
    timed = Timed(batch, step_seconds(batch))
    while timed.batch < most and timed.seconds < LONG:
        batch = min(most, 4 * timed.batch)
        try:
            timed = Timed(batch, step_seconds(batch))
        except torch.OutOfMemoryError:
            print(f"a batch of {batch} does not fit into the GPU's memory; the figure is for {timed.batch}", flush=True)
            break
    return timed


class Stopwatch:
    """Replaces a training's checkpoint: it notes the time when a step asks if it should save.

    It answers yes once, to learn the size of a checkpoint.
    """

    def __init__(self, device: torch.device):
        self._device = device
        self._ends: list[float] = []
        self.bytes = 0

    def load(self) -> None:
        return None

    def due(self) -> bool:
        self._ends.append(_now(self._device))
        return len(self._ends) == 1

    def save(self, state: Mapping[str, Any]) -> None:
        self.bytes = max(self.bytes, _bytes(state))

    def step_seconds(self) -> float:
        """Median time from one step's end to the next, without the step after the save."""
        return statistics.median(end - begin for begin, end in zip(self._ends[1:], self._ends[2:], strict=False))


class Once:
    """Replaces the pieces of a job: it keeps nothing, and notes the time that they take."""

    def __init__(self, device: torch.device):
        self._device = device
        self.seconds = 0.0

    def continued(self, make: Callable[[int], Iterator[np.ndarray]]) -> list[np.ndarray]:
        found: list[np.ndarray] = []
        self.seconds = seconds_of(lambda: found.extend(make(0)), self._device)
        return found


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def _bytes(state: Any) -> int:
    """Bytes of all tensors in `state`."""
    if isinstance(state, torch.Tensor):
        return state.nbytes
    if isinstance(state, Mapping):
        return sum(map(_bytes, state.values()))
    return sum(map(_bytes, state)) if isinstance(state, list | tuple) else 0
