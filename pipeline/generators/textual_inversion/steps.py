"""The number of training steps of each class, and of states that are kept."""

from collections.abc import Mapping
from typing import Any

import numpy as np


def steps_of(settings: Mapping[str, Any], counts: np.ndarray) -> np.ndarray:
    """Steps of classes with `counts` real pictures, int64 [C]: min(max(100 n, 2000), 10000), as in Fill-Up (appendix B.3).

    settings: steps_per_picture, least_steps and most_steps. A class without pictures has no steps.
    """
    steps = np.clip(settings["steps_per_picture"] * counts, settings["least_steps"], settings["most_steps"])
    return np.where(counts > 0, steps, 0)


def states_of(settings: Mapping[str, Any], steps: np.ndarray) -> int:
    """Number of states that are kept of classes with so many steps, int64 [N]. settings: checkpoint_steps."""
    return int(-(-steps // settings["checkpoint_steps"]).sum())
