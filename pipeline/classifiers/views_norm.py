"""Several views of a batch in one pass, while batch normalisation keeps them apart."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn

from pipeline.errors import InputError

BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)


def in_one_pass(module: nn.Module, views: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """`[module(view) for view in views]`, but each layer except batch normalisation runs once on all views.

    Every view is normalised by its own statistics, and running statistics are updated in the order of the views, as in the
    four passes of SAU's public code. Plain concatenation would share the statistics. views: float [B, ...]. The module must
    return a tensor with one row per sample, use each batch norm once in a pass and draw no random numbers. Raises InputError
    if views differ in shape.
    """
    shapes = {tuple(view.shape) for view in views}
    if len(shapes) != 1:
        raise InputError(
            f"views of shapes {sorted(shapes)} cannot go through a network in one pass; give views of one shape"
        )
    with _views_apart(module, len(views)):
        return list(module(torch.cat(list(views))).chunk(len(views)))


@contextmanager
def _views_apart(module: nn.Module, count: int) -> Iterator[None]:
    """Context in which each batch norm takes `count` views one after the other.

    A single call with the views moved into channels is slower: with channels last it needs two more copies.
    """
    norms = [norm for norm in module.modules() if isinstance(norm, BATCH_NORMS)]
    for norm in norms:
        norm.forward = _one_by_one(norm.forward, count)
    try:
        yield
    finally:
        for norm in norms:
            del norm.forward  # restores the class's own


def _one_by_one(forward, count: int):
    return lambda stacked: torch.cat([forward(view) for view in stacked.chunk(count)])
