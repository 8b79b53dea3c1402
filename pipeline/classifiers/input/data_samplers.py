"""Samplers: which pictures an epoch goes through, and in which order."""

from collections.abc import Mapping
from typing import Any

import torch

from pipeline.classifiers.class_weights import effective_number
from pipeline.errors import InputError
from pipeline.seeds import epoch_order, mixed_seed

STREAMS = {"class_aware": 1001, "power": 1002, "progressive": 1003, "effective_number": 1004, "half_real": 1005}
"""A number of its own for each kind, far from those that tell the draws of a training step apart."""


def order(
    kind: str,
    labels: torch.Tensor,
    generated: torch.Tensor,
    length: int,
    seed: int,
    epoch: int,
    settings: Mapping[str, Any],
) -> torch.Tensor:
    """Positions of the `length` pictures of an epoch, int64 [length] in 0..N-1, that depend on the arguments alone.

    labels int64 [N] and generated bool [N] (whether generated) on the CPU; `epoch` counts from 0. A class has as many
    pictures n as `labels` shows, real and generated ones alike; classes without any are left out. Kinds:

    "instance": permutations of all pictures, one after the other.
    "class_aware": classes in shuffled cycles, each time settings["per_class_draws"] pictures in a row, from shuffled
        cycles through the class (Kang et al. 2020, public code, which draws 4; there cycles go on from epoch to epoch,
        here each epoch starts new ones).
    The next three draw with replacement, each picture with a probability proportional to
    "power": n^-q, q = settings["sampler_power"]; 1 makes classes alike (the inverse sampler of CMO, Park et al. 2022),
        0.5 gives them the square root of their share, 0 is uniform (second loader of GLMC, Du et al. 2023);
    "progressive": (1 - t) / N + t / (C n) with t = epoch / (E - 1), E = settings["epochs"], which moves from all
        pictures alike to all C classes alike (Kang et al. 2020); a single epoch has t = 0;
    "effective_number": (1 - beta) / (1 - beta^n), beta = settings["class_weights_beta"] (Cui et al. 2019).
    "half_real": in each batch of settings["batch_size"] real and generated pictures take turns, real ones first, so that
        half of it is real, and one more where its size is odd, also that of a last, shorter one (LDM-FG, Sec. 4.1).
        Either goes through permutations of its own. Raises InputError where there are none of either.
    """
    if kind == "instance":
        return _instance(len(labels), length, seed, epoch)
    generator = torch.Generator().manual_seed(mixed_seed(seed, epoch, STREAMS[kind]))
    if kind == "half_real":
        return _half_real(generated, length, settings["batch_size"], generator)
    positions, counts = _by_class(labels)
    if kind == "class_aware":
        return _class_aware(positions, counts, length, settings["per_class_draws"], generator)
    if kind == "power":
        shares = counts.double() ** (1 - settings["sampler_power"])
    elif kind == "progressive":
        balance = epoch / max(settings["epochs"] - 1, 1)
        shares = (1 - balance) * counts / len(labels) + balance / len(counts)
    else:
        shares = counts / effective_number(counts, settings["class_weights_beta"])
    return _with_replacement(positions, counts, shares, length, generator)


def _instance(count: int, length: int, seed: int, epoch: int) -> torch.Tensor:
    rounds = -(-length // count)
    return torch.cat([epoch_order(count, seed, epoch * rounds + repeat) for repeat in range(rounds)])[:length]


def _half_real(generated: torch.Tensor, length: int, batch_size: int, generator: torch.Generator) -> torch.Tensor:
    made = int(generated.sum())
    if made in (0, len(generated)):
        raise InputError(
            f"the sampler half_real needs real and generated pictures, but the classifier's data are "
            f"{len(generated) - made} real and {made} generated ones; loosen the filter's keep, or name another sampler"
        )
    order = torch.empty(length, dtype=torch.int64)
    second = torch.arange(length) % batch_size % 2 == 1
    for places, pool in ((~second, ~generated), (second, generated)):
        positions = pool.nonzero().flatten()
        order[places] = positions[_cycled(len(positions), int(places.sum()), generator)]
    return order


def _class_aware(
    positions: torch.Tensor, counts: torch.Tensor, length: int, draws: int, generator: torch.Generator
) -> torch.Tensor:
    classes = len(counts)
    cycles = -(-length // (classes * draws))
    drawn = torch.stack(
        [members[_cycled(len(members), cycles * draws, generator)] for members in positions.split(counts.tolist())]
    ).view(classes, cycles, draws)
    turns = _permutations(cycles, classes, generator)
    return drawn[turns, torch.arange(cycles)[:, None]].flatten()[:length]


def _with_replacement(
    positions: torch.Tensor, counts: torch.Tensor, shares: torch.Tensor, length: int, generator: torch.Generator
) -> torch.Tensor:
    """First a class for each draw, by float [C] `shares`, then one of its pictures: torch draws from 2^24 things at most."""
    classes = torch.multinomial(shares.double(), length, replacement=True, generator=generator)
    within = torch.rand(length, dtype=torch.float64, generator=generator) * counts[classes]
    return positions[(counts.cumsum(0) - counts)[classes] + within.long()]


def _by_class(labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Positions [N] of the pictures, class after class, and how many each class that has some has; int64."""
    ordered, positions = labels.sort(stable=True)
    return positions, ordered.unique_consecutive(return_counts=True)[1]


def _cycled(count: int, length: int, generator: torch.Generator) -> torch.Tensor:
    """`length` of 0..count-1: permutations, one after the other."""
    return _permutations(-(-length // count), count, generator).flatten()[:length]


def _permutations(rows: int, count: int, generator: torch.Generator) -> torch.Tensor:
    """int64 [rows, count], each row a permutation: all at once, for a class of few pictures takes many."""
    return torch.rand(rows, count, dtype=torch.float64, generator=generator).argsort(dim=1)
