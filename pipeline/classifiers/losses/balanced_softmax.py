"""Balanced softmax: the softmax of training includes the frequency of each class."""

from collections.abc import Mapping
from typing import Any

import torch
from torch.nn import functional

from pipeline.classifiers.batch import Batch
from pipeline.classifiers.losses import Loss, at_least_float32, require_pictures


def build(settings: Mapping[str, Any], counts: torch.Tensor) -> Loss:
    """Mean cross-entropy of logits + log n_c (Ren et al. 2020); predictions use the plain logits.

    With alpha = settings["share"], alpha times that plus 1 - alpha times the plain mean cross-entropy (LDM-FG, appendix F).
    n: int64 [C] counts of the pictures that the caller chose; their sum makes no difference.
    Raises InputError if one is zero.
    """
    require_pictures(counts, "the loss balanced_softmax")
    balanced = ShiftedCrossEntropy(counts.double().log())
    return balanced if settings["share"] == 1 else Mixed(balanced, settings["share"])


class ShiftedCrossEntropy(Loss):
    """Mean cross-entropy of logits plus float [C] `shifts`."""

    def __init__(self, shifts: torch.Tensor):
        super().__init__()
        self.register_buffer("shifts", shifts.float(), persistent=False)

    def forward(self, logits: torch.Tensor, batch: Batch, epoch: int) -> torch.Tensor:
        return functional.cross_entropy(at_least_float32(logits) + self.shifts, batch.labels)


class Mixed(Loss):
    """A loss with the plain mean cross-entropy for the rest of its `share`."""

    def __init__(self, loss: Loss, share: float):
        super().__init__()
        self.loss, self.share = loss, share

    def forward(self, logits: torch.Tensor, batch: Batch, epoch: int) -> torch.Tensor:
        plain = functional.cross_entropy(at_least_float32(logits), batch.labels)
        return self.share * self.loss(logits, batch, epoch) + (1 - self.share) * plain
