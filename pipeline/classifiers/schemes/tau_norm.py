"""tau-normalisation (Kang et al. 2020): a first stage's classifier whose weights are made of more equal length."""

from collections.abc import Mapping
from typing import Any

import torch

from pipeline.classifiers.network import Network
from pipeline.classifiers.scheme import Facts, Scheme
from pipeline.errors import InputError

GRID = [step / 10 for step in range(21)]
"""What tau is chosen from on the validation split: 0, 0.1, ... 2."""


def build(settings: Mapping[str, Any], network: Network, facts: Facts) -> Scheme:
    """Logits w_c f / |w_c|^tau, without bias. Nothing is trained.

    Without `norm_tau` the tau of highest validation accuracy is taken, the first of several. Raises InputError where there is
    no validation split to choose on.
    """
    return TauNorm(settings, network, facts)


class TauNorm(Scheme):
    def __init__(self, settings: Mapping[str, Any], network: Network, facts: Facts):
        super().__init__(network)
        self.loaders = []
        self.facts, self.tau = facts, settings["norm_tau"]

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
        for batch in self.facts.once("val", 0, [[]]):
            features = self.network.features(batch.views[0])
            for position, tau in enumerate(GRID):
                logits = features @ normalised(self.network.head.weight, tau).T
                right[position] += (logits.argmax(1) == batch.labels).sum().cpu()
            total += len(batch.labels)
        if not total:
            raise InputError("tau-normalisation chooses tau on the validation split, and there is none; give norm_tau")
        return GRID[int(right.argmax())]


def normalised(weight: torch.Tensor, tau: float) -> torch.Tensor:
    """w_c / |w_c|^tau of float [C, F]."""
    return weight / weight.norm(dim=1, keepdim=True) ** tau
