"""Losses, one module each: build(settings, counts) -> Loss, with counts int64 [C] of each class's training pictures."""

import torch

from pipeline.errors import InputError

NAMED = 10
"""Classes that an error names at most."""


class Loss(torch.nn.Module):
    """What a batch costs. Priors and weights are buffers that are not saved, so that `.to(device)` takes them along."""

    def forward(self, logits: torch.Tensor, labels: torch.Tensor, generated: torch.Tensor, epoch: int) -> torch.Tensor:
        """A scalar, in float32 or wider, of float [B, C] logits, int64 [B] labels and bool [B]: whether generated.

        `epoch` counts from 0; only class weights that set in late look at it.
        """
        raise NotImplementedError


def at_least_float32(values: torch.Tensor) -> torch.Tensor:
    """The same numbers; half precision, as autocast leaves it, becomes float32."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def require_pictures(counts: torch.Tensor, user: str) -> None:
    """Raise InputError where one of int64 [C] counts is zero; `user` is what divides by them or takes their logarithm."""
    empty = (counts == 0).nonzero().flatten().tolist()
    if empty:
        numbers = ", ".join(str(label) for label in empty[:NAMED]) + (", ..." if len(empty) > NAMED else "")
        raise InputError(
            f"{user} needs training pictures of every class, but {len(empty)} of {len(counts)} classes have none "
            f"(counted from 0: {numbers})"
        )
