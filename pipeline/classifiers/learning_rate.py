"""The learning rate over a training run."""

import math
from collections.abc import Mapping
from typing import Any


def learning_rate(epoch: int, settings: Mapping[str, Any]) -> float:
    """Learning rate of an epoch, counted from 0: linear warm-up, then by `schedule`.

    `step`: constant, then `decay_to` times the initial rate from the shares `decay_at` of the epochs on. LDAM-DRW (Cao et
    al. 2019, public code): 0.1 (e + 1) / 5 for e < 5, 0.1, 1e-3 from 160 of 200, 1e-5 from 180. `cosine`: half a wave from
    the rate down to 0, reached one epoch after the last.
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
