"""LDAM: rare classes are to be told apart by a wider margin."""

from collections.abc import Mapping
from typing import Any

import torch
from torch.nn import functional

from pipeline.classifiers.class_weights import Weights
from pipeline.classifiers.losses import Loss, at_least_float32, require_pictures


def build(settings: Mapping[str, Any], counts: torch.Tensor) -> Loss:
    """Cross-entropy after the label's cosine lost the margin of its class (Cao et al. 2019, as in its public code).

    m_c = max_margin (n_c / n_min)^(-1/4), so that the rarest class has settings["max_margin"]. The logits must come from
    a cosine head, which multiplies by settings["head_scale"] (30 there), so scale * m_y is taken from the label's logit.
    Class weights as in `cross_entropy`: sum w_y CE / sum w_y. Raises InputError where int64 [C] counts have a zero.
    """
    require_pictures(counts, "the loss ldam")
    margins = settings["max_margin"] * (counts.double() / counts.min()) ** -0.25
    return Ldam(Weights(settings, counts), settings["head_scale"] * margins.float())


class Ldam(Loss):
    def __init__(self, weights: Weights, shifts: torch.Tensor):
        super().__init__()
        self.weights = weights
        self.register_buffer("shifts", shifts, persistent=False)

    def forward(self, logits: torch.Tensor, labels: torch.Tensor, generated: torch.Tensor, epoch: int) -> torch.Tensor:
        logits = at_least_float32(logits)
        shifted = logits - functional.one_hot(labels, len(self.shifts)) * self.shifts
        return functional.cross_entropy(shifted, labels, weight=self.weights(epoch).to(logits.dtype))
