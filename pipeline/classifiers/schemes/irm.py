"""Invariant risk minimisation, IRMv1 (Arjovsky et al. 2019): one head should be the best in every context."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from pipeline.classifiers.batch import Batch
from pipeline.classifiers.network import Network
from pipeline.classifiers.scheme import Scheme, TrainingData, first_loader


def build(settings: Mapping[str, Any], network: Network, data: TrainingData) -> Scheme:
    """The mean over the batch's contexts of their cross-entropy plus weight times their penalty (Arjovsky et al. 2019, Sec. 3.1).

    The penalty is the product of the slopes of two losses by a factor w = 1 of the logits: the losses of the context's pictures at even
    and at odd places, which makes it unbiased (their appendix D). A context with one picture has none. The weight is
    settings["penalty_weight"], and 1 in the first settings["penalty_start"] steps. Raises InputError if there are no groups.
    """
    data.require_groups("irm")
    return Irm(settings, network, data)


class Irm(Scheme):
    def __init__(self, settings: Mapping[str, Any], network: Network, data: TrainingData):
        super().__init__(network)
        self.loaders = [first_loader(settings)]
        self.settings, self.together = settings, data.processes.together
        self.register_buffer("contexts", torch.cat([data.contexts, data.contexts.new_tensor([-1])]), persistent=False)
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def forward(self, batches: list[Batch], epoch: int, random: np.random.Generator) -> torch.Tensor:
        (batch,) = batches
        logits = self.together(self.network(batch.views[0]).float())
        labels, groups = self.together(torch.stack([batch.labels, batch.groups], 1)).unbind(1)
        found = self.contexts[groups]  # that of pictures without a group, -1, is the last one
        weight = self.settings["penalty_weight"] if self.steps >= self.settings["penalty_start"] else 1.0
        self.steps += 1
        terms = [
            functional.cross_entropy(logits[found == context], labels[found == context])
            + weight * penalty(logits[found == context], labels[found == context])
            for context in found.unique()
        ]
        return torch.stack(terms).mean()


def penalty(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """The product of the slopes at w = 1 of the mean cross-entropy of w * logits, of the rows at even and at odd places.

    logits: float [B, C]; labels: int64 [B]. The slope is the mean over rows of sum_c (softmax_c - [c is the label]) logit_c. Zero for
    a single row.
    """
    if len(labels) < 2:
        return logits.new_zeros(())
    residuals = logits.softmax(1) - functional.one_hot(labels, logits.shape[1])
    slopes = (residuals * logits).sum(1)
    return slopes[::2].mean() * slopes[1::2].mean()
