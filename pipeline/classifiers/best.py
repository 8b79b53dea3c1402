"""The best epoch of a training by a figure on the validation split."""

from typing import Any

import torch
from torch import nn

from pipeline.classifiers.input.batches import Labelled
from pipeline.classifiers.network import Network
from pipeline.classifiers.processes import Processes


class Best:
    """The weights of the epoch with the highest figure so far, the first one of equals; a part of a training's state.

    Figures are the one to choose by, and one that decides among equals.
    """

    def __init__(self):
        self.epoch = 0
        """Counted from 1; 0 before the first look."""
        self._figures, self._since, self._weights = [-1.0, -1.0], 0, {}

    def look(self, network: nn.Module, epoch: int, *figures: float) -> None:
        """Keep a copy of the network's weights and buffers, on the CPU, if the figures are the highest so far."""
        self._since += 1
        if list(figures) > self._figures:
            weights = {name: value.detach().cpu().clone() for name, value in network.state_dict().items()}
            self.epoch, self._figures, self._since, self._weights = epoch, list(figures), 0, weights

    def is_stale(self, patience: int | None) -> bool:
        """Whether the last `patience` looks have found nothing better; never if it is None."""
        return patience is not None and self._since >= patience

    def restore(self, network: nn.Module) -> None:
        """Give the network the weights of the best epoch."""
        network.load_state_dict(self._weights)

    def state_dict(self) -> dict[str, Any]:
        return {"epoch": self.epoch, "figures": self._figures, "since": self._since, "weights": self._weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.epoch, self._figures, self._since, self._weights = (
            state[name] for name in ("epoch", "figures", "since", "weights")
        )


def accuracies(network: Network, data: Labelled, processes: Processes) -> dict[str, float]:
    """Accuracies on a split in percent, 0 without pictures; each process predicts a part.

    "top1" is over all pictures, and "worst_group" the lowest of the groups that have pictures in the split.
    """
    mine = processes.share(len(data.labels))
    _, logits = network.predict(data.pictures, rows=mine)
    right = (logits.argmax(1) == data.labels[mine]).double()
    device = next(network.parameters()).device

    def lowest(members: torch.Tensor) -> float:
        count = int(members.max()) + 1 if len(members) else 0
        known = members[mine] >= 0
        found = torch.zeros(count, dtype=torch.float64).index_add(0, members[mine][known], right[known])
        found = processes.sum(found.to(device)).cpu()
        total = torch.bincount(members[members >= 0], minlength=count)
        return float((100 * found / total)[total > 0].min()) if total.any() else 0.0

    return {"top1": lowest(torch.zeros_like(data.labels)), "worst_group": lowest(data.groups)}
