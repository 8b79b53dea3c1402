"""Weighted cross-entropy: generated pictures count less than real ones."""

from collections.abc import Mapping
from typing import Any

import torch
from torch.nn import functional


def batch_loss(
    logits: torch.Tensor, labels: torch.Tensor, synthetic: torch.Tensor, settings: Mapping[str, Any]
) -> torch.Tensor:
    """DiffuLT Eq. 4: sum of w * cross-entropy with w = omega for generated and 1 for real pictures, a scalar.

    logits float [B, C], labels int64 [B], synthetic bool [B]. omega = settings["synthetic_weight"]. The paper prints a sum;
    here it is divided by B, or by the sum of w where settings["normalise_by"] is "weights".
    """
    losses = functional.cross_entropy(logits, labels, reduction="none")
    weights = torch.where(synthetic, settings["synthetic_weight"], 1.0)
    whole = weights.sum() if settings["normalise_by"] == "weights" else len(labels)
    return (weights * losses).sum() / whole
