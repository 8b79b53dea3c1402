"""tau-normalisation (Kang et al. 2020): the weights of a first-stage classifier get more equal lengths."""

from collections.abc import Mapping
from typing import Any

import torch

from pipeline.classifiers.network import Network
from pipeline.classifiers.scheme import Scheme, TrainingData
from pipeline.errors import InputError

GRID = [step / 10 for step in range(21)]
"""Values of tau tried on the validation split: 0, 0.1, ... 2."""


def build(settings: Mapping[str, Any], network: Network, data: TrainingData) -> Scheme:
    """Divide weights by |w_c|^tau: logits are w_c f / |w_c|^tau, without bias. Nothing is trained.

    Without `norm_tau`, tau is the first value of highest validation accuracy. Raises InputError if there is no validation
    split.
    """
    return TauNorm(settings, network, data)


class TauNorm(Scheme):
    def __init__(self, settings: Mapping[str, Any], network: Network, data: TrainingData):
        super().__init__(network)
        self.loaders = []
        self.data, self.tau = data, settings["norm_tau"]

    @torch.no_grad()
    def finish(self) -> None:
        head = self.network.head
        tau = self._chosen() if self.tau is None else self.tau
        head.weight.copy_(normalised(head.weight, tau))
        head.bias.zero_()
        print(f"tau is {tau:g}", flush=True)

    def _chosen(self) -> float:
        self.network.eval()
        right = torch.zeros(len(GRID), dtype=torch.int64)
        total = 0
        for batch in self.data.once("val", 0, [[]]):
            features = self.network.features(batch.views[0])
            for position, tau in enumerate(GRID):
                logits = features @ normalised(self.network.head.weight, tau).T
                right[position] += (logits.argmax(1) == batch.labels).sum().cpu()
            total += len(batch.labels)
        if not total:
            raise InputError("tau-normalisation chooses tau on the validation split, but there is none; set norm_tau")
        return GRID[int(right.argmax())]


def normalised(weight: torch.Tensor, tau: float) -> torch.Tensor:
    """w_c / |w_c|^tau of float [C, F]."""
    return weight / weight.norm(dim=1, keepdim=True) ** tau
