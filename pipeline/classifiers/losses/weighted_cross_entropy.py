"""Weighted cross-entropy: generated pictures count less than real ones."""

from collections.abc import Mapping
from typing import Any

import torch
from torch.nn import functional

from pipeline.classifiers.batch import Batch
from pipeline.classifiers.losses import Loss, at_least_float32


def build(settings: Mapping[str, Any], counts: torch.Tensor) -> Loss:
    """DiffuLT Eq. 4: sum of w * cross-entropy with w = omega for generated and 1 for real pictures.

    omega = settings["generated_weight"]. The paper prints a sum; here it is divided by B, or by the sum of w if
    settings["normalise_by"] is "weights". int64 [C] counts are not used.
    """
    return WeightedCrossEntropy(settings["generated_weight"], settings["normalise_by"])


class WeightedCrossEntropy(Loss):
    def __init__(self, generated_weight: float, normalise_by: str):
        super().__init__()
        self.generated_weight, self.normalise_by = generated_weight, normalise_by

    def forward(self, logits: torch.Tensor, batch: Batch, epoch: int) -> torch.Tensor:
        losses = functional.cross_entropy(at_least_float32(logits), batch.labels, reduction="none")
        weights = torch.where(batch.generated, self.generated_weight, 1.0)
        whole = weights.sum() if self.normalise_by == "weights" else len(batch.labels)
        return (weights * losses).sum() / whole
