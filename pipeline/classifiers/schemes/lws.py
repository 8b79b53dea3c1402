"""Learnable weight scaling, LWS (Kang et al. 2020): a second stage that learns one factor for each class."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from pipeline.classifiers.network import Network
from pipeline.classifiers.scheme import Scheme, TrainingData
from pipeline.classifiers.schemes.plain import Plain


def build(settings: Mapping[str, Any], network: Network, data: TrainingData) -> Scheme:
    """Train s of logits s_c (w_c f + b_c), from s = 1; w, b and the backbone stay those of the first stage."""
    return Scaling(settings, network, data)


class Scaling(Plain):
    def __init__(self, settings: Mapping[str, Any], network: Network, data: TrainingData):
        super().__init__(settings, network, data)
        network.requires_grad_(False)
        network.head = ScaledHead(network.head)

    @torch.no_grad()
    def finish(self) -> None:
        head = self.network.head.head
        head.weight.mul_(self.network.head.scale[:, None])
        head.bias.mul_(self.network.head.scale)
        self.network.head = head


class ScaledHead(nn.Module):
    """A linear head with a factor for each class, until `finish` merges the two."""

    def __init__(self, head: nn.Linear):
        super().__init__()
        self.head = head
        self.scale = nn.Parameter(torch.ones_like(head.bias))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.scale * self.head(features)
