"""Class weights of a loss: higher for classes with fewer pictures, from the start or late in training."""

from collections.abc import Mapping
from typing import Any

import torch

from pipeline.classifiers.losses import require_pictures
from pipeline.errors import InputError


class Weights(torch.nn.Module):
    """Class weights of a training run, from int64 [C] counts of each class's training pictures.

    settings["class_weights"] is None (all 1), or a mapping with one of these kinds, scaled to a sum of C:
    "effective_number": (1 - beta) / (1 - beta^n), with its `beta` (Cui et al. 2019);
    "inverse_power": n^-power, with its `power`.

    They apply from epoch round(`start` * settings["epochs"]), counted from 0; before it all are 1. `start` 0 is the start of
    training. `start` 0.8 is the deferred re-weighting of LDAM-DRW (Cao et al. 2019), epoch 160 of 200. Raises InputError if
    a class to be weighted has no picture, or if that epoch is never reached.
    """

    def __init__(self, settings: Mapping[str, Any], counts: torch.Tensor):
        super().__init__()
        weighting = settings["class_weights"]
        self._start = round(weighting["start"] * settings["epochs"]) if weighting else 0
        if weighting and self._start >= settings["epochs"]:
            raise InputError(
                f"class_weights.start {weighting['start']} is never reached in {settings['epochs']} epochs; "
                "lower it, or train longer"
            )
        self.register_buffer("_weights", _scaled(weighting, counts).float(), persistent=False)

    def forward(self, epoch: int) -> torch.Tensor:
        """Class weights of an epoch, float32 [C]."""
        return self._weights if epoch >= self._start else torch.ones_like(self._weights)


def effective_number(counts: torch.Tensor, beta: float) -> torch.Tensor:
    """(1 - beta^n) / (1 - beta) of counts, float64; 0 <= beta < 1 (Cui et al. 2019)."""
    return (1 - beta ** counts.double()) / (1 - beta)


def _scaled(weighting: Mapping[str, Any] | None, counts: torch.Tensor) -> torch.Tensor:
    if weighting is None:
        return torch.ones(len(counts))
    require_pictures(counts, f"class_weights: {weighting['kind']}")
    if weighting["kind"] == "effective_number":
        weights = 1 / effective_number(counts, weighting["beta"])
    else:
        weights = counts.double() ** -weighting["power"]
    return weights / weights.mean()
