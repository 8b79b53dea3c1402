"""The learning rate over a training run."""

import math
from collections.abc import Mapping
from typing import Any


def learning_rate(epoch: int, settings: Mapping[str, Any]) -> float:
    """Rate of an epoch, counted from 0: linear warm-up, then by `schedule`.

    `step`: constant, then `decay_to` of its start from the shares `decay_at` of the epochs on. LDAM-DRW (Cao et al. 2019,
    public code): 0.1 (e + 1) / 5 for e < 5, 0.1, 1e-3 from 160 of 200, 1e-5 from 180. `cosine`: half a wave from the
    rate down to 0, which the epoch after the last would have.
    """
    rate, warmup, epochs = settings["learning_rate"], settings["warmup_epochs"], settings["epochs"]
    if epoch < warmup:
        return rate * (epoch + 1) / warmup
    if settings["schedule"] == "cosine":
        return rate * (1 + math.cos(math.pi * (epoch - warmup) / (epochs - warmup))) / 2
    factor = 1.0
    for share, to in zip(settings["decay_at"], settings["decay_to"], strict=True):
        if epoch >= round(share * epochs):
            factor = to
    return rate * factor
