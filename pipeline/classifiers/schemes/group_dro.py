"""Group DRO (Sagawa et al. 2020): groups with higher losses count more."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from pipeline.classifiers.batch import Batch
from pipeline.classifiers.network import Network
from pipeline.classifiers.scheme import Scheme, TrainingData, first_loader


def build(settings: Mapping[str, Any], network: Network, data: TrainingData) -> Scheme:
    """Sum over the batch's groups of q_g times the mean cross-entropy of g (Sagawa et al. 2020, Algorithm 1).

    Before each step, q_g is multiplied by exp(eta * that mean), eta = settings["group_step"], and q is divided by its sum over all
    groups. It starts equal. Pictures without a group are one more group. Raises InputError if there are no groups.
    """
    data.require_groups("group_dro")
    return GroupDro(settings, network, data)


class GroupDro(Scheme):
    def __init__(self, settings: Mapping[str, Any], network: Network, data: TrainingData):
        super().__init__(network)
        self.loaders = [first_loader(settings)]
        self.step, self.together = settings["group_step"], data.processes.together
        count = len(data.contexts) + 1  # the last one is of pictures without a group
        self.register_buffer("q", torch.full((count,), 1 / count))

    def forward(self, batches: list[Batch], epoch: int, random: np.random.Generator) -> torch.Tensor:
        (batch,) = batches
        logits = self.together(self.network(batch.views[0]).float())
        labels, groups = self.together(torch.stack([batch.labels, batch.groups % len(self.q)], 1)).unbind(1)
        losses = functional.cross_entropy(logits, labels, reduction="none")
        counts = torch.bincount(groups, minlength=len(self.q))
        means = torch.zeros_like(self.q).index_add(0, groups, losses) / counts.clamp(min=1)
        grown = self.q * (self.step * means.detach()).exp()
        self.q = grown / grown.sum()
        return (self.q * means).sum()
