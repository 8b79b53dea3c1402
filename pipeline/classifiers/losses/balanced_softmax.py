"""Balanced softmax: the softmax of training knows how frequent each class is."""

from collections.abc import Mapping
from typing import Any

import torch
from torch.nn import functional

from pipeline.classifiers.losses import Loss, at_least_float32, require_pictures


def build(settings: Mapping[str, Any], counts: torch.Tensor) -> Loss:
    """Mean cross-entropy of logits + log n_c (Ren et al. 2020); logits are left plain when the network is used.

    n: int64 [C] counts; which pictures they count is the caller's choice, and their sum makes no difference.
    Raises InputError where one is zero.
    """
    require_pictures(counts, "the loss balanced_softmax")
    return ShiftedCrossEntropy(counts.double().log())


class ShiftedCrossEntropy(Loss):
    """Mean cross-entropy after float [C] `shifts` were added to the logits."""

    def __init__(self, shifts: torch.Tensor):
        super().__init__()
        self.register_buffer("shifts", shifts.float(), persistent=False)

    def forward(self, logits: torch.Tensor, labels: torch.Tensor, generated: torch.Tensor, epoch: int) -> torch.Tensor:
        return functional.cross_entropy(at_least_float32(logits) + self.shifts, labels)
