"""From pictures and a scheme's loaders to augmented batches."""

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch

from pipeline.classifiers.augment import augment
from pipeline.classifiers.augment.geometry import TRIES
from pipeline.classifiers.batch import Batch
from pipeline.classifiers.input.data_samplers import order
from pipeline.classifiers.input.random_numbers import Draws
from pipeline.classifiers.input.reader import OnDisk, Pictures
from pipeline.classifiers.processes import Processes
from pipeline.classifiers.scheme import Loader
from pipeline.errors import InputError
from pipeline.seeds import mixed_seed

View = Sequence[Mapping[str, Any]]

TOGETHER = 8
"""Batches of small pictures augmented at once, because a GPU takes longer to start operations this small than to run them."""


class Labelled(NamedTuple):
    """Pictures with labels int64 [N], `generated` bool [N] and groups int64 [N], -1 for none; all on the CPU.

    contexts: the number of each group's context, int64 [groups].
    """

    pictures: Pictures
    labels: torch.Tensor
    generated: torch.Tensor
    groups: torch.Tensor
    contexts: torch.Tensor = torch.zeros(0, dtype=torch.int64)


def steps_of(length: int, batch_size: int, parts: int) -> int:
    """Number of batches in an epoch of `length` pictures; each is taken in so many parts, over all processes.

    The last may be smaller, but has at least two pictures per part, because batch norm needs them. Raises InputError if
    no batch is left.
    """
    whole, rest = divmod(length, batch_size)
    steps = whole + (rest >= 2 * parts)
    if not steps:
        raise InputError(f"an epoch of {length} pictures is too short to train on; at least {2 * parts} are needed")
    return steps


def batches(
    data: Labelled,
    loader: Loader,
    place: int,
    epoch: int,
    length: int,
    seed: int,
    device: torch.device,
    processes: Processes,
    first: int = 0,
) -> Iterator[tuple[Batch, float]]:
    """Batches of an epoch from the `first` on, each in `accumulate` parts with their weights; the loader is number `place`.

    A part's weight is its share of the batch times the number of processes. Draws depend only on seed, epoch and place.
    """
    batch_size, parts = loader.settings["batch_size"], loader.settings["accumulate"]
    steps = steps_of(length, batch_size, parts * processes.count)
    own_seed = mixed_seed(seed, place) if place else seed
    positions = order(
        loader.sampler, data.labels, data.generated, length, own_seed, epoch, loader.settings, data.groups
    )
    whole = positions.split(batch_size)[:steps]
    shares = [(step, share) for step in range(first, steps) for share in processes.parts(len(whole[step]), parts)]
    mine = [whole[step][share] for step, share in shares]

    def draws(number: int, view: int, purpose: int, device: torch.device) -> Draws:
        stream, (step, share) = 1 + 2 * (8 * place + view) + purpose, shares[number]
        return Draws(seed, epoch * steps + step, stream, len(whole[step]), share, device)

    shown = _views(data.pictures, mine, loader.views, draws, device)
    for rows, views, (step, _) in zip(mine, shown, shares, strict=True):
        yield _batch(views, data, rows, device), len(rows) * processes.count / len(whole[step])


def once(
    data: Labelled | None,
    views: Sequence[View],
    epoch: int,
    seed: int,
    batch_size: int,
    device: torch.device,
    processes: Processes,
) -> Iterator[Batch]:
    """Every real picture once and in order, augmented differently in each epoch; each process gets a part of the batches."""
    if data is None:
        return
    real = torch.nonzero(~data.generated)[:, 0].split(batch_size)
    mine = range(len(real))[processes.share(len(real))]

    def draws(step: int, view: int, purpose: int, device: torch.device) -> Draws:
        stream = 2**20 + 2 * view + purpose
        number = mine[step]
        return Draws(seed, epoch * len(real) + number, stream, len(real[number]), slice(None), device)

    rows = [real[number] for number in mine]
    for own, shown in zip(rows, _views(data.pictures, rows, views, draws, device), strict=True):
        yield _batch(shown, data, own, device)


class ByClass:
    """The training pictures of each class, for a scheme that chooses them itself, step by step."""

    def __init__(self, data: Labelled, classes: int, seed: int, device: torch.device):
        self._data, self._seed, self._device = data, seed, device
        self._positions = data.labels.argsort(stable=True)
        self.counts = torch.bincount(data.labels, minlength=classes)
        """Number of each class's pictures, real and generated, int64 [C]."""
        self._starts = self.counts.cumsum(0) - self.counts

    def batch(self, classes: torch.Tensor, places: torch.Tensor, views: Sequence[View], step: int) -> Batch:
        """The pictures at these places, 0 to the count - 1, of these classes, both int64 [B]; `step` seeds their views."""
        rows = self._positions[self._starts[classes] + places]

        def draws(number: int, view: int, purpose: int, device: torch.device) -> Draws:
            return Draws(self._seed, step, 2**21 + 2 * view + purpose, len(rows), slice(None), device)

        (shown,) = _views(self._data.pictures, [rows], views, draws, self._device)
        return _batch(shown, self._data, rows, self._device)


def _batch(views: list[torch.Tensor], data: Labelled, rows: torch.Tensor, device: torch.device) -> Batch:
    columns = (data.labels, data.generated, data.groups)
    return Batch(views, *(column[rows].to(device, non_blocking=True) for column in columns))


def _views(
    pictures: Pictures,
    rows: Sequence[torch.Tensor],
    views: Sequence[View],
    draws: Callable[[int, int, int, torch.device], Draws],
    device: torch.device,
) -> Iterator[list[torch.Tensor]]:
    """Augmented views of each batch. A large picture gets its first crop while it is read."""
    cropped = [_crop(pictures, view) for view in views]
    together = 1 if isinstance(pictures, OnDisk) else TOGETHER
    groups = [range(len(rows))[start : start + together] for start in range(0, len(rows), together)]
    orders = (torch.cat([rows[step] for step in group]) for group in groups)

    def uniforms(step: int) -> torch.Tensor:
        cpu = torch.device("cpu")
        return torch.stack([draws(step, view, 0, cpu).uniform(TRIES + 1, 2) for view in range(len(views))], 1)

    with contextlib.closing(pictures.batches(orders, cropped, uniforms)) as read:
        for group, raw in zip(groups, read, strict=True):
            sizes = [len(rows[step]) for step in group]
            augmented = []
            for number, (picture, view, crop) in enumerate(zip(raw, views, cropped, strict=True)):
                drawn = Draws.joined([draws(step, number, 1, device) for step in group])
                augmented.append(augment(picture, view[1:] if crop else view, drawn).split(sizes))
            yield from map(list, zip(*augmented, strict=True))


def _crop(pictures: Pictures, view: View) -> float | None:
    """Smallest share of a large picture's area that the view's first crop keeps; None for its middle or a small picture."""
    begins = isinstance(pictures, OnDisk) and len(view) > 0 and view[0]["kind"] == "resized_crop"
    return view[0]["smallest"] if begins else None
