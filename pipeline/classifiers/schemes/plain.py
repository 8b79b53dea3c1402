"""Plain training: one batch, one view, one loss."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from pipeline.classifiers.network import Network
from pipeline.classifiers.scheme import Batch, Facts, Scheme, first_loader, loss_of


def build(settings: Mapping[str, Any], network: Network, facts: Facts) -> Scheme:
    """The settings' loss of the settings' batches."""
    return Plain(settings, network, facts)


class Plain(Scheme):
    def __init__(self, settings: Mapping[str, Any], network: Network, facts: Facts):
        super().__init__(network)
        self.loaders = [first_loader(settings)]
        self.loss = loss_of(settings, facts)

    def forward(self, batches: list[Batch], epoch: int, random: np.random.Generator) -> torch.Tensor:
        (batch,) = batches
        return self.loss(self.network(batch.views[0]), batch.labels, batch.generated, epoch)
