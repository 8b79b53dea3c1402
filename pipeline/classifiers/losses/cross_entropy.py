"""Cross-entropy: all pictures count alike, real or generated, or by the weight of their class."""

from collections.abc import Mapping
from typing import Any

import torch
from torch.nn import functional

from pipeline.classifiers.batch import Batch
from pipeline.classifiers.class_weights import Weights
from pipeline.classifiers.losses import Loss, at_least_float32


def build(settings: Mapping[str, Any], counts: torch.Tensor) -> Loss:
    """Weighted mean sum w_y CE / sum w_y over the batch, as in the public code of LDAM-DRW (Cao et al. 2019).

    w: class weights of int64 [C] counts, with the settings and errors of `Weights`; without them, the plain mean.
    """
    return CrossEntropy(Weights(settings, counts))


class CrossEntropy(Loss):
    def __init__(self, weights: Weights):
        super().__init__()
        self.weights = weights

    def forward(self, logits: torch.Tensor, batch: Batch, epoch: int) -> torch.Tensor:
        logits = at_least_float32(logits)
        return functional.cross_entropy(logits, batch.labels, weight=self.weights(epoch).to(logits.dtype))
