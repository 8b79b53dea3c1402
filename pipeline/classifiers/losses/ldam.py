"""LDAM: rare classes get a wider margin."""

from collections.abc import Mapping
from typing import Any

import torch
from torch.nn import functional

from pipeline.classifiers.batch import Batch
from pipeline.classifiers.class_weights import Weights
from pipeline.classifiers.losses import Loss, at_least_float32, require_pictures


def build(settings: Mapping[str, Any], counts: torch.Tensor) -> Loss:
    """Cross-entropy with the class's margin subtracted from the label's cosine (Cao et al. 2019, as in its public code).

    m_c = max_margin (n_c / n_min)^(-1/4), so that the rarest class has settings["max_margin"]. The logits must come from
    a cosine head. It multiplies by settings["head_scale"] (30 in that code), so scale * m_y is subtracted from the label's
    logit. Class weights as in `cross_entropy`: sum w_y CE / sum w_y. Raises InputError if one of int64 [C] counts is zero.
    """
    require_pictures(counts, "the loss ldam")
    margins = settings["max_margin"] * (counts.double() / counts.min()) ** -0.25
    return Ldam(Weights(settings, counts), settings["head_scale"] * margins.float())


class Ldam(Loss):
    def __init__(self, weights: Weights, shifts: torch.Tensor):
        super().__init__()
        self.weights = weights
        self.register_buffer("shifts", shifts, persistent=False)

    def forward(self, logits: torch.Tensor, batch: Batch, epoch: int) -> torch.Tensor:
        logits = at_least_float32(logits)
        shifted = logits - functional.one_hot(batch.labels, len(self.shifts)) * self.shifts
        return functional.cross_entropy(shifted, batch.labels, weight=self.weights(epoch).to(logits.dtype))
