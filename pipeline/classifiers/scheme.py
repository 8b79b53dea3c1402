"""Interface of training schemes: from batches to a loss."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from pipeline import kinds
from pipeline.classifiers.batch import Batch
from pipeline.classifiers.network import Network
from pipeline.classifiers.processes import ALONE, Processes
from pipeline.errors import InputError


class Loader(NamedTuple):
    """How batches are drawn: the data sampler with its settings, each view's augmentations, and the classifier's settings."""

    sampler: Mapping[str, Any]
    views: list[Sequence[Mapping[str, Any]]]
    settings: Mapping[str, Any]


class TrainingData(NamedTuple):
    """Facts about the data, beyond its batches, that a scheme may use."""

    counts: torch.Tensor
    """Number of each class's training pictures, for priors, int64 [C]."""
    generated_pictures: int
    once: Callable[[str, int, list[Sequence[Mapping[str, Any]]]], Iterable[Batch]]
    """(split, epoch, augmentations of each view) -> batches that go once through the subset's real pictures of `train` or
    `val`; with several processes, once through this process's part of them."""
    by_class: Callable[[], Any]
    """The pictures of each class, a `pipeline.classifiers.input.batches.ByClass`."""
    processes: Processes = ALONE
    """The processes that share each batch."""
    contexts: torch.Tensor = torch.zeros(0, dtype=torch.int64)
    """The number of each group's context, int64 [groups]."""

    def require_groups(self, scheme: str) -> None:
        """Raise InputError if the data set has no groups, which `scheme` needs."""
        if not len(self.contexts):
            raise InputError(
                f"the scheme {scheme} needs groups, but the data set has none; give its table a column context or group, or train "
                "with another scheme"
            )


class Scheme(nn.Module):
    """A training scheme: the network and everything else that it trains.

    `forward` gives the loss of a step; with several processes, that of this process's part of the batch.
    """

    loaders: list[Loader]

    def __init__(self, network: Network):
        super().__init__()
        self.network = network

    def trained_by(self, optimizer: torch.optim.Optimizer) -> None:
        """Get the optimizer of `parameters`, before the first step."""

    def start_epoch(self, epoch: int) -> None:
        """Prepare an epoch, counted from 0."""

    def forward(self, batches: list[Batch], epoch: int, random: np.random.Generator) -> torch.Tensor:
        """The loss, a scalar, of one batch from each loader; `random` is for draws of the whole batch."""
        raise NotImplementedError

    def finish(self) -> None:
        """Merge into the network everything that was trained beside it."""


def first_loader(settings: Mapping[str, Any]) -> Loader:
    """The loader of the classifier's own settings, with one view."""
    return Loader(settings["data_sampler"], [settings["augment"]], settings)


def loss_of(settings: Mapping[str, Any], data: TrainingData) -> nn.Module:
    """The loss that the settings name."""
    loss = settings["loss"]
    return kinds.load("classifiers.losses", loss["kind"]).build(loss | {"epochs": settings["epochs"]}, data.counts)
