"""What a training scheme is: from batches to a loss, and nothing else."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from pipeline import kinds
from pipeline.classifiers.network import Network
from pipeline.classifiers.processes import ALONE, Processes


class Batch(NamedTuple):
    """Augmented pictures: each view is uint8 [B, 3, H, W]; labels are int64 [B], generated is bool [B]."""

    views: list[torch.Tensor]
    labels: torch.Tensor
    generated: torch.Tensor


class Loader(NamedTuple):
    """How batches are drawn: the sampler's kind, the augmentations of each view, and settings that the sampler reads."""

    sampler: str
    views: list[Sequence[Mapping[str, Any]]]
    settings: Mapping[str, Any]


class Facts(NamedTuple):
    """What a scheme may know about the data beyond its batches."""

    counts: torch.Tensor
    """Training pictures of each class from which priors come, int64 [C]."""
    generated_pictures: int
    once: Callable[[str, int, list[Sequence[Mapping[str, Any]]]], Iterable[Batch]]
    """(split, epoch, augmentations of each view) -> batches that go once through the subset's own pictures of `train` or
    `val`, none of them generated; where there are several processes, through this one's part of them."""
    processes: Processes = ALONE
    """Those that share each batch."""


class Scheme(nn.Module):
    """A scheme holds the network and whatever else it trains; `forward` gives a step's loss, and is the loss on this
    process's share of the batch where there are several."""

    loaders: list[Loader]

    def __init__(self, network: Network):
        super().__init__()
        self.network = network

    def start_epoch(self, epoch: int) -> None:
        """Whatever is made anew before each epoch, counted from 0."""

    def forward(self, batches: list[Batch], epoch: int, random: np.random.Generator) -> torch.Tensor:
        """The loss, a scalar, of one batch from each loader; `random` is for draws of the whole batch."""
        raise NotImplementedError

    def finish(self) -> None:
        """Put what was trained beside the network into it."""


def first_loader(settings: Mapping[str, Any]) -> Loader:
    """The loader that the classifier's own settings describe, of one view."""
    return Loader(settings["sampler"], [settings["augment"]], settings)


def loss_of(settings: Mapping[str, Any], facts: Facts) -> nn.Module:
    """The loss that the settings name."""
    return kinds.load("classifiers.losses", settings["loss"]).build(settings, facts.counts)
