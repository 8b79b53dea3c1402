"""LISA (Yao et al. 2022): MixUp of pictures that share their label or their context, but not both."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from pipeline.classifiers.batch import Batch
from pipeline.classifiers.network import Network
from pipeline.classifiers.scheme import Scheme, TrainingData, first_loader


def build(settings: Mapping[str, Any], network: Network, data: TrainingData) -> Scheme:
    """share * CE(y_i) + (1 - share) * CE(y_j) of mixed pictures i and j of the batch, each pair with its share ~ Beta(alpha, alpha).

    With the probability settings["same_label"], drawn for each batch, j has the label of i in another context; otherwise it has another
    label in the same context (Yao et al. 2022, Algorithm 1). A picture without such a partner in the batch is not mixed. Raises
    InputError if there are no groups.
    """
    data.require_groups("lisa")
    return Lisa(settings, network, data)


class Lisa(Scheme):
    def __init__(self, settings: Mapping[str, Any], network: Network, data: TrainingData):
        super().__init__(network)
        self.loaders = [first_loader(settings)]
        self.settings = settings
        self.register_buffer("contexts", torch.cat([data.contexts, data.contexts.new_tensor([-1])]), persistent=False)

    def forward(self, batches: list[Batch], epoch: int, random: np.random.Generator) -> torch.Tensor:
        (batch,) = batches
        labels, contexts = batch.labels, self.contexts[batch.groups]
        same_label = random.random() < self.settings["same_label"]
        numbers = torch.from_numpy(random.random((len(labels), len(labels)))).to(labels.device)
        partners = partners_of(labels, contexts, same_label, numbers)
        alpha = self.settings["mixing_alpha"]
        shares = torch.from_numpy(random.beta(alpha, alpha, len(labels))).float().to(labels.device)
        pictures = batch.views[0].float()
        mixed = shares.view(-1, 1, 1, 1) * pictures + (1 - shares.view(-1, 1, 1, 1)) * pictures[partners]
        logits = self.network(mixed).float()
        own, other = (functional.cross_entropy(logits, of, reduction="none") for of in (labels, labels[partners]))
        return (shares * own + (1 - shares) * other).mean()


def partners_of(labels: torch.Tensor, contexts: torch.Tensor, same_label: bool, numbers: torch.Tensor) -> torch.Tensor:
    """The place of each row's partner, int64 [B]: of those allowed, the one with the lowest of float [B, B] random `numbers`.

    labels, contexts: int64 [B]. Allowed are rows with the same label in another context, or with another label in the same context. A row
    without any is its own partner.
    """
    alike, near = labels[:, None] == labels, contexts[:, None] == contexts
    allowed = alike & ~near if same_label else ~alike & near
    chosen = numbers.masked_fill(~allowed, torch.inf).argmin(1)
    return torch.where(allowed.any(1), chosen, torch.arange(len(labels), device=labels.device))
