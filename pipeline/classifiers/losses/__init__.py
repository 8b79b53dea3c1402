"""Losses, one module each: build(settings, counts) -> Loss, with counts int64 [C] of each class's training pictures."""

import torch

from pipeline.classifiers.batch import Batch
from pipeline.errors import InputError

NAMED = 10
"""Largest number of classes that an error names."""


class Loss(torch.nn.Module):
    """Loss of a batch. Priors and weights are unsaved buffers, so `.to(device)` moves them too."""

    def forward(self, logits: torch.Tensor, batch: Batch, epoch: int) -> torch.Tensor:
        """The loss, a scalar in float32 or wider, of float [B, C] logits; may read the batch's labels, `generated` and groups.

        Logits of mixed pictures do not belong to the batch's views. `epoch` counts from 0; only class weights that start late
        read it.
        """
        raise NotImplementedError


def at_least_float32(values: torch.Tensor) -> torch.Tensor:
    """`values` in float32 or wider: autocast's half precision becomes float32."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def require_pictures(counts: torch.Tensor, user: str) -> None:
    """Raise InputError if one of int64 [C] counts is zero; `user` names the part that divides by them or takes their logarithm."""
    empty = (counts == 0).nonzero().flatten().tolist()
    if empty:
        numbers = ", ".join(str(label) for label in empty[:NAMED]) + (", ..." if len(empty) > NAMED else "")
        raise InputError(
            f"{user} needs training pictures of every class, but {len(empty)} of {len(counts)} classes have none "
            f"(counted from 0: {numbers})"
        )
