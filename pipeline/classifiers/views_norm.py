"""Several views of a batch in one pass, while batch normalisation keeps them apart."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn

from pipeline.errors import InputError

BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)


def in_one_pass(module: nn.Module, views: Sequence[torch.Tensor]) -> list[torch.Tensor]:
    """What `[module(view) for view in views]` gives, each layer save batch normalisation running once on all views.

    Every view is normalised by its own statistics, and the running ones are updated in the order of the views, as the
    four passes of SAU's public code do; plain concatenation would share the statistics. views: float [B, ...], of one
    shape, else InputError is raised. The module gives a tensor with a row a sample, uses a batch norm once in a pass and
    draws no random numbers.
    """
    shapes = {tuple(view.shape) for view in views}
    if len(shapes) != 1:
        raise InputError(
            f"views of shapes {sorted(shapes)} cannot go through a network in one pass; they must have one"
        )
    with _views_apart(module, len(views)):
        return list(module(torch.cat(list(views))).chunk(len(views)))


@contextmanager
def _views_apart(module: nn.Module, count: int) -> Iterator[None]:
    """Within, each batch norm takes `count` views one after the other.

    Views moved into channels, one call for all, are the slower way: channels last, that is two copies more.
    """
    norms = [norm for norm in module.modules() if isinstance(norm, BATCH_NORMS)]
    for norm in norms:
        norm.forward = _one_by_one(norm.forward, count)
    try:
        yield
    finally:
        for norm in norms:
            del norm.forward  # the class's own shows again


def _one_by_one(forward, count: int):
    return lambda stacked: torch.cat([forward(view) for view in stacked.chunk(count)])
