"""Inputs of a metric: a shard's pictures and the real ones of their classes, as pixels and under the scorer (DiffuLT's f0)."""

from typing import NamedTuple

import torch


class Evidence(NamedTuple):
    """N generated and M real pictures; pixels are uint8, flattened; features float32; logits float32 [N, C]."""

    labels: torch.Tensor
    pixels: torch.Tensor
    features: torch.Tensor
    logits: torch.Tensor
    real_labels: torch.Tensor
    real_pixels: torch.Tensor
    real_features: torch.Tensor
