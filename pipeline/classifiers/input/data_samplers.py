"""Samplers: which pictures an epoch goes through, and in which order."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from pipeline.classifiers.class_weights import effective_number
from pipeline.errors import InputError
from pipeline.seeds import epoch_order, mixed_seed

STREAMS = {"class_aware": 1001, "power": 1002, "progressive": 1003, "effective_number": 1004, "half_real": 1005}
"""A separate random stream for each kind, far from the streams of a training step."""


def order(
    sampler: Mapping[str, Any],
    labels: torch.Tensor,
    generated: torch.Tensor,
    length: int,
    seed: int,
    epoch: int,
    settings: Mapping[str, Any],
    groups: torch.Tensor | None = None,
) -> torch.Tensor:
    """Positions of the `length` pictures of an epoch, int64 [length] in 0..N-1, fixed by the arguments.

    labels: int64 [N]; generated: bool [N]; groups: int64 [N], for a sampler by groups; all on the CPU. `epoch` counts from 0. n is
    the number of a class's pictures in `labels`, real and generated; classes without pictures are skipped. The sampler's `kind`:

    "instance": permutations of all pictures, one after the other.
    "class_aware": classes in shuffled cycles, with sampler["in_a_row"] pictures at each turn, from shuffled cycles
        through the class (Kang et al. 2020; public code draws 4). As in public code, cycles continue across epochs.
    The next three draw with replacement, each picture with a probability proportional to
    "power": n^-q, q = sampler["power"]; 1 gives classes equal shares (the inverse sampler of CMO, Park et al. 2022),
        0.5 the square root of their share, 0 is uniform (second loader of GLMC, Du et al. 2023). If sampler["by"] is "group", n is that
        of its group, and pictures without one are one more (second stage of cRT in SubpopBench, Yang et al. 2023);
    "progressive": (1 - t) / N + t / (C n) with t = epoch / (E - 1), E = settings["epochs"], which moves from equal
        pictures to C equal classes (Kang et al. 2020); a single epoch has t = 0;
    "effective_number": (1 - beta) / (1 - beta^n), beta = sampler["beta"] (Cui et al. 2019).
    "half_real": in each batch of settings["batch_size"] real and generated pictures alternate, real ones first. So half
        of a batch is real, and one more if its size is odd; the same holds for a shorter last batch (LDM-FG, Sec. 4.1).
        Real and generated pictures go through separate permutations. Raises InputError if either are missing.
    """
    kind = sampler["kind"]
    if kind == "instance":
        return _instance(len(labels), length, seed, epoch)
    if kind == "class_aware":
        return _class_aware(*_by_class(labels), range(epoch * length, (epoch + 1) * length), sampler["in_a_row"], seed)
    generator = torch.Generator().manual_seed(mixed_seed(seed, epoch, STREAMS[kind]))
    if kind == "half_real":
        return _half_real(generated, length, settings["batch_size"], generator)
    by_group = sampler.get("by") == "group"
    if by_group and not (groups >= 0).any():
        raise InputError("the sampler power counts groups, but no training picture has one; set by: class")
    positions, counts = _by_class(groups if by_group else labels)
    if kind == "power":
        shares = counts.double() ** (1 - sampler["power"])
    elif kind == "progressive":
        balance = epoch / max(settings["epochs"] - 1, 1)
        shares = (1 - balance) * counts / len(labels) + balance / len(counts)
    else:
        shares = counts / effective_number(counts, sampler["beta"])
    return _with_replacement(positions, counts, shares, length, generator)


def _instance(count: int, length: int, seed: int, epoch: int) -> torch.Tensor:
    rounds = -(-length // count)
    return torch.cat([epoch_order(count, seed, epoch * rounds + repeat) for repeat in range(rounds)])[:length]


def _half_real(generated: torch.Tensor, length: int, batch_size: int, generator: torch.Generator) -> torch.Tensor:
    count = int(generated.sum())
    if count in (0, len(generated)):
        raise InputError(
            f"the sampler half_real needs real and generated pictures, but the classifier has "
            f"{len(generated) - count} real and {count} generated ones; loosen the filter's keep, or name another sampler"
        )
    order = torch.empty(length, dtype=torch.int64)
    second = torch.arange(length) % batch_size % 2 == 1
    for places, pool in ((~second, ~generated), (second, generated)):
        positions = pool.nonzero().flatten()
        order[places] = positions[_cycled(len(positions), int(places.sum()), generator)]
    return order


def _class_aware(
    positions: torch.Tensor, counts: torch.Tensor, places: range, in_a_row: int, seed: int
) -> torch.Tensor:
    """The pictures at these places of the run's endless sequence.

    Each cycle of classes takes the next `in_a_row` pictures of every class, so the cycle's number tells which these are.
    """
    cycle = len(counts) * in_a_row
    first, end = places.start // cycle, -(-places.stop // cycle)
    drawn = torch.stack(
        [
            members[_endless(len(members), range(first * in_a_row, end * in_a_row), seed, label)]
            for label, members in enumerate(positions.split(counts.tolist()), 1)
        ]
    ).view(len(counts), end - first, in_a_row)
    turns = _endless(len(counts), range(first * len(counts), end * len(counts)), seed, 0).view(end - first, -1)
    skipped = first * cycle
    return drawn[turns, torch.arange(end - first)[:, None]].flatten()[places.start - skipped : places.stop - skipped]


def _endless(count: int, places: range, seed: int, stream: int) -> torch.Tensor:
    """What an endless sequence has at these places: permutations of 0..count-1, one after the other, int64.

    The random generator jumps to the first one, so that an epoch's order does not take those before it.
    """
    first, end = places.start // count, -(-places.stop // count)
    skipped = first * count
    blocks, rest = divmod(skipped, 4)  # Philox counts blocks of four numbers
    bits = np.random.Philox(key=mixed_seed(seed, STREAMS["class_aware"], stream)).advance(blocks)
    drawn = np.random.Generator(bits).random(rest + (end - first) * count)[rest:]
    orders = torch.from_numpy(drawn).view(end - first, count).argsort(dim=1)
    return orders.flatten()[places.start - skipped : places.stop - skipped]


def _with_replacement(
    positions: torch.Tensor, counts: torch.Tensor, shares: torch.Tensor, length: int, generator: torch.Generator
) -> torch.Tensor:
    """Draw a class by float [C] `shares`, then one of its pictures, because torch draws from at most 2^24 items."""
    classes = torch.multinomial(shares.double(), length, replacement=True, generator=generator)
    within = torch.rand(length, dtype=torch.float64, generator=generator) * counts[classes]
    return positions[(counts.cumsum(0) - counts)[classes] + within.long()]


def _by_class(labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Positions [N] of the pictures, class after class, and the count of each class that has pictures; both int64."""
    ordered, positions = labels.sort(stable=True)
    return positions, ordered.unique_consecutive(return_counts=True)[1]


def _cycled(count: int, length: int, generator: torch.Generator) -> torch.Tensor:
    """`length` numbers in 0..count-1: permutations, one after the other."""
    return _permutations(-(-length // count), count, generator).flatten()[:length]


def _permutations(rows: int, count: int, generator: torch.Generator) -> torch.Tensor:
    """Permutations, int64 [rows, count], one per row; drawn all at once, because a small class needs many."""
    return torch.rand(rows, count, dtype=torch.float64, generator=generator).argsort(dim=1)
