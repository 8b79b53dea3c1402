"""Cross-entropy: every picture counts alike, real or generated."""

from collections.abc import Mapping
from typing import Any

import torch
from torch.nn import functional


def batch_loss(
    logits: torch.Tensor, labels: torch.Tensor, synthetic: torch.Tensor, settings: Mapping[str, Any]
) -> torch.Tensor:
    """Mean cross-entropy, a scalar; logits float [B, C], labels int64 [B], synthetic bool [B] (not used)."""
    return functional.cross_entropy(logits, labels)
