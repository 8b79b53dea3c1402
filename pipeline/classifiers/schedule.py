"""The learning rate over a training run."""

from collections.abc import Mapping
from typing import Any


def learning_rate(epoch: int, settings: Mapping[str, Any]) -> float:
    """Rate of an epoch, counted from 0: linear warm-up, then constant, then dropped at shares of the epochs.

    LDAM-DRW (Cao et al. 2019, public code): 0.1 (e + 1) / 5 for e < 5, 0.1, 1e-3 from 160 of 200, 1e-5 from 180.
    """
    if epoch < settings["warmup_epochs"]:
        return settings["learning_rate"] * (epoch + 1) / settings["warmup_epochs"]
    factor = 1.0
    for share, to in zip(settings["decay_at"], settings["decay_to"], strict=True):
        if epoch >= round(share * settings["epochs"]):
            factor = to
    return settings["learning_rate"] * factor
