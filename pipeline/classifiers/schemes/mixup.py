"""MixUp (Zhang et al. 2018) of two batches with separate shuffles."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from pipeline.classifiers.batch import Batch
from pipeline.classifiers.mixing import mixed_up
from pipeline.classifiers.network import Network
from pipeline.classifiers.scheme import Scheme, TrainingData, first_loader, loss_of


def build(settings: Mapping[str, Any], network: Network, data: TrainingData) -> Scheme:
    """share * L(y_1) + (1 - share) * L(y_2) of mixed pictures, with one share ~ Beta(alpha, alpha) per batch."""
    return MixUp(settings, network, data)


class MixUp(Scheme):
    def __init__(self, settings: Mapping[str, Any], network: Network, data: TrainingData):
        super().__init__(network)
        self.loaders = [first_loader(settings)] * 2
        self.loss = loss_of(settings, data)
        self.alpha = settings["mixing_alpha"]

    def forward(self, batches: list[Batch], epoch: int, random: np.random.Generator) -> torch.Tensor:
        first, second = batches
        share = random.beta(self.alpha, self.alpha)
        logits = self.network(mixed_up(first.views[0], second.views[0], share))
        losses = (self.loss(logits, batch, epoch) for batch in batches)
        return share * next(losses) + (1 - share) * next(losses)
