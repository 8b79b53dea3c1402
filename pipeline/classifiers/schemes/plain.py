"""Plain training: one batch, one view, one loss."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from pipeline.classifiers.batch import Batch
from pipeline.classifiers.network import Network
from pipeline.classifiers.scheme import Scheme, TrainingData, first_loader, loss_of


def build(settings: Mapping[str, Any], network: Network, data: TrainingData) -> Scheme:
    """The settings' loss of the settings' batches."""
    return Plain(settings, network, data)


class Plain(Scheme):
    def __init__(self, settings: Mapping[str, Any], network: Network, data: TrainingData):
        super().__init__(network)
        self.loaders = [first_loader(settings)]
        self.loss = loss_of(settings, data)

    def forward(self, batches: list[Batch], epoch: int, random: np.random.Generator) -> torch.Tensor:
        (batch,) = batches
        return self.loss(self.network(batch.views[0]), batch, epoch)
