"""Logit adjustment: balanced softmax with a temperature for the prior."""

from collections.abc import Mapping
from typing import Any

import torch

from pipeline.classifiers.losses import Loss, require_pictures
from pipeline.classifiers.losses.balanced_softmax import ShiftedCrossEntropy


def build(settings: Mapping[str, Any], counts: torch.Tensor) -> Loss:
    """Mean cross-entropy of logits + tau log prior (Menon et al. 2021), with tau = settings["tau"].

    prior = n_c / sum n of int64 [C] counts. tau 1 is balanced softmax, 0 is cross-entropy. Raises InputError if a
    count is zero.
    """
    require_pictures(counts, "the loss logit_adjustment")
    return ShiftedCrossEntropy(settings["tau"] * (counts.double() / counts.sum()).log())
