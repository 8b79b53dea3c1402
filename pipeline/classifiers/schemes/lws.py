"""Learnable weight scaling, LWS (Kang et al. 2020): a second stage that learns one factor for each class."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from pipeline.classifiers.network import Network
from pipeline.classifiers.scheme import Batch, Facts, Scheme
from pipeline.classifiers.schemes.plain import Plain


def build(settings: Mapping[str, Any], network: Network, facts: Facts) -> Scheme:
    """Logits s_c (w_c f + b_c) with w, b and the backbone of the first stage, and s = 1 at the start."""
    return Scaling(settings, network, facts)


class Scaling(Plain):
    def __init__(self, settings: Mapping[str, Any], network: Network, facts: Facts):
        super().__init__(settings, network, facts)
        network.requires_grad_(False)
        self.scale = nn.Parameter(torch.ones(network.description["classes"]))

    def forward(self, batches: list[Batch], epoch: int, random: np.random.Generator) -> torch.Tensor:
        (batch,) = batches
        return self.loss(self.scale * self.network(batch.views[0]), batch.labels, batch.synthetic, epoch)

    @torch.no_grad()
    def finish(self) -> None:
        self.network.head.weight.mul_(self.scale[:, None])
        self.network.head.bias.mul_(self.scale)
