"""Remix (Chou et al. 2020): MixUp with labels that lean towards the smaller class."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from pipeline.classifiers.batch import Batch
from pipeline.classifiers.losses import require_pictures
from pipeline.classifiers.mixing import mixed_up
from pipeline.classifiers.network import Network
from pipeline.classifiers.scheme import Loader, Scheme, TrainingData


def build(settings: Mapping[str, Any], network: Network, data: TrainingData) -> Scheme:
    """Cross-entropy of mixed pictures with the label weights of Remix's Eq. 8."""
    return Remix(settings, network, data)


def label_share(share: float, first: torch.Tensor, second: torch.Tensor, ratio: float, tau: float) -> torch.Tensor:
    """Weight of each pair's first label, float [B], from the two classes' sizes, [B] each (Eq. 8).

    0 if n_1 / n_2 >= ratio and share < tau, 1 if n_1 / n_2 <= 1 / ratio and 1 - share < tau, otherwise the share.
    """
    weight = torch.full(first.shape, share, device=first.device)
    weight[(first >= ratio * second) & (share < tau)] = 0.0
    weight[(ratio * first <= second) & (1 - share < tau)] = 1.0
    return weight


class Remix(Scheme):
    def __init__(self, settings: Mapping[str, Any], network: Network, data: TrainingData):
        super().__init__(network)
        self.loaders = [Loader({"kind": "instance"}, [settings["augment"]], settings)] * 2
        require_pictures(data.counts, "the scheme remix")
        self.register_buffer("counts", data.counts, persistent=False)
        self.settings = settings

    def forward(self, batches: list[Batch], epoch: int, random: np.random.Generator) -> torch.Tensor:
        first, second = batches
        settings = self.settings
        share = random.beta(settings["mixing_alpha"], settings["mixing_alpha"])
        logits = self.network(mixed_up(first.views[0], second.views[0], share))
        sizes = (self.counts[batch.labels] for batch in batches)
        weight = label_share(share, *sizes, settings["remix_ratio"], settings["remix_tau"])
        losses = [functional.cross_entropy(logits, batch.labels, reduction="none") for batch in batches]
        return (weight * losses[0] + (1 - weight) * losses[1]).mean()
