"""Weights of classes in a loss: the fewer pictures, the heavier, at once or late in training."""

from collections.abc import Mapping
from typing import Any

import torch

from pipeline.classifiers.losses import require_pictures
from pipeline.errors import InputError


class Weights(torch.nn.Module):
    """Class weights of a training run, from int64 [C] counts of each class's training pictures.

    settings["class_weights"] is "none" (all 1), or one of these, scaled to a sum of C:
    "effective_number": (1 - beta) / (1 - beta^n), beta = settings["class_weights_beta"] (Cui et al. 2019);
    "inverse_power": n^-k, k = settings["class_weights_power"].

    They hold from epoch round(settings["class_weights_from"] * settings["epochs"]), counted from 0, and are all 1
    before: 0 is at once, 0.8 the deferred re-weighting of LDAM-DRW (Cao et al. 2019), epoch 160 of 200.
    Raises InputError where a class that is to be weighted has no picture, and where that epoch never comes.
    """

    def __init__(self, settings: Mapping[str, Any], counts: torch.Tensor):
        super().__init__()
        self._start = round(settings["class_weights_from"] * settings["epochs"])
        if settings["class_weights"] != "none" and self._start >= settings["epochs"]:
            raise InputError(
                f"class_weights_from is {settings['class_weights_from']}, which never comes in {settings['epochs']} epochs; "
                "lower it, or train longer"
            )
        self.register_buffer("_weights", _scaled(settings, counts).float(), persistent=False)

    def forward(self, epoch: int) -> torch.Tensor:
        """The weights of an epoch, float32 [C]."""
        return self._weights if epoch >= self._start else torch.ones_like(self._weights)


def effective_number(counts: torch.Tensor, beta: float) -> torch.Tensor:
    """(1 - beta^n) / (1 - beta) of counts, float64; 0 <= beta < 1 (Cui et al. 2019)."""
    return (1 - beta ** counts.double()) / (1 - beta)


def _scaled(settings: Mapping[str, Any], counts: torch.Tensor) -> torch.Tensor:
    kind = settings["class_weights"]
    if kind == "none":
        return torch.ones(len(counts))
    require_pictures(counts, f"class_weights: {kind}")
    if kind == "effective_number":
        weights = 1 / effective_number(counts, settings["class_weights_beta"])
    else:
        weights = counts.double() ** -settings["class_weights_power"]
    return weights / weights.mean()
