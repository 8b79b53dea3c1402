"""Focal loss: pictures that are already classified well count less."""

from collections.abc import Mapping
from typing import Any

import torch
from torch.nn import functional

from pipeline.classifiers.batch import Batch
from pipeline.classifiers.class_weights import Weights
from pipeline.classifiers.losses import Loss, at_least_float32


def build(settings: Mapping[str, Any], counts: torch.Tensor) -> Loss:
    """Focal loss (Lin et al. 2017), class-balanced with class weights w (Cui et al. 2019); the mean over B.

    With ce = -log p_y and gamma = settings["gamma"] >= 0, settings["form"] is one of

        "textbook": w_y (1 - p_y)^gamma ce
        "inside":   (1 - exp(-w_y ce))^gamma w_y ce, as in the public code of LDAM-DRW (Cao et al. 2019)

    Without class weights both are the same. w: class weights of int64 [C] counts, as in `Weights`.
    """
    return Focal(Weights(settings, counts), settings["gamma"], settings["form"])


class Focal(Loss):
    def __init__(self, weights: Weights, gamma: float, form: str):
        super().__init__()
        self.weights, self.gamma, self.form = weights, gamma, form

    def forward(self, logits: torch.Tensor, batch: Batch, epoch: int) -> torch.Tensor:
        losses = functional.cross_entropy(at_least_float32(logits), batch.labels, reduction="none")
        weighted = self.weights(epoch)[batch.labels] * losses
        doubt = -torch.expm1(-(weighted if self.form == "inside" else losses))
        doubt = doubt.clamp(min=torch.finfo(doubt.dtype).tiny)  # the slope of 0^gamma is infinite for gamma < 1
        return (doubt**self.gamma * weighted).mean()
