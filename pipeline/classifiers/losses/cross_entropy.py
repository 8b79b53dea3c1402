"""Cross-entropy: every picture counts alike, real or generated, or as the weight of its class says."""

from collections.abc import Mapping
from typing import Any

import torch
from torch.nn import functional

from pipeline.classifiers.class_weights import Weights
from pipeline.classifiers.losses import Loss, at_least_float32


def build(settings: Mapping[str, Any], counts: torch.Tensor) -> Loss:
    """sum w_y CE / sum w_y over the batch, as in the public code of LDAM-DRW (Cao et al. 2019); the mean without weights.

    w: class weights of int64 [C] counts, with the settings and errors of `Weights`.
    """
    return CrossEntropy(Weights(settings, counts))


class CrossEntropy(Loss):
    def __init__(self, weights: Weights):
        super().__init__()
        self.weights = weights

    def forward(self, logits: torch.Tensor, labels: torch.Tensor, generated: torch.Tensor, epoch: int) -> torch.Tensor:
        logits = at_least_float32(logits)
        return functional.cross_entropy(logits, labels, weight=self.weights(epoch).to(logits.dtype))
