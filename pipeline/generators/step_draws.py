"""What the pictures of a training step depend on: drawn on the CPU, for one class at a time."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch

from pipeline.seeds import epoch_order, mixed_seed


class Draws(NamedTuple):
    """The draws of a step's B pictures."""

    pictures: torch.Tensor
    """Positions of the pictures among those that are learned from, int64 [B]."""
    mirrored: torch.Tensor
    """1 for a mirrored picture and 0 else, int64 [B]."""
    texts: torch.Tensor
    """Numbers of the texts, int64 [B]."""
    times: torch.Tensor
    """Steps of the noising process, int64 [B]."""
    of_latents: torch.Tensor
    """The noise that draws latents from their distribution, float32 [B, C, h, w]."""
    noise: torch.Tensor
    """The noise to be predicted, float32 [B, C, h, w]."""


class Shape(NamedTuple):
    """What is drawn from: numbers of texts and of noising steps, and the shape of a picture's latents."""

    texts: int
    timesteps: int
    latents: Sequence[int]


def drawn(settings: Mapping[str, Any], label: int, step: int, pictures: int, shape: Shape) -> Draws:
    """The draws of a step; they depend only on (seed, label, step). In each epoch, all pictures are seen in another order.

    settings: seed, batch_size and horizontal_flip. label: of the class, or any number of its own. pictures: how many there are.
    """
    seed, size = settings["seed"], settings["batch_size"]
    random = torch.Generator().manual_seed(mixed_seed(seed, label, step))
    places = range(step * size, (step + 1) * size)
    orders = {
        epoch: epoch_order(pictures, mixed_seed(seed, label), epoch)
        for epoch in {place // pictures for place in places}
    }
    share = 0.5 if settings["horizontal_flip"] else 0.0
    return Draws(
        torch.stack([orders[place // pictures][place % pictures] for place in places]),
        (torch.rand(size, generator=random) < share).long(),
        torch.randint(shape.texts, (size,), generator=random),
        torch.randint(shape.timesteps, (size,), generator=random),
        torch.randn((size, *shape.latents), generator=random),
        torch.randn((size, *shape.latents), generator=random),
    )


def joined(draws: Sequence[Draws]) -> Draws:
    """The draws of several classes, one class's after another's."""
    return Draws(*map(torch.cat, zip(*draws, strict=True)))
