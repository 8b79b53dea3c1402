"""The number of training steps of each class, and of states that are kept."""

from collections.abc import Mapping
from typing import Any

import numpy as np


def steps_of(settings: Mapping[str, Any], counts: np.ndarray) -> np.ndarray:
    """Steps of classes with `counts` real pictures, int64 [C]; a class without pictures has none.

    settings: steps, and per ("class", or "dataset" for all classes together, which then share the steps).
    """
    there = counts > 0
    each = settings["steps"] if settings["per"] == "class" else -(-settings["steps"] // max(1, there.sum()))
    return np.where(there, each, 0)


def states_of(settings: Mapping[str, Any], steps: np.ndarray) -> int:
    """Number of states that are kept of classes with so many steps, int64 [N]: the last one of each."""
    return len(steps) if settings["per"] == "class" else min(1, len(steps))
