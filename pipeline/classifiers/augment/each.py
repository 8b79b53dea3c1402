"""Different operations for the samples of a batch."""

from collections.abc import Callable, Sequence

import torch

Operation = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""(uint8 [N, 3, H, W] pictures, float [N] values) -> uint8 [N, 3, H, W]."""


def apply_each(
    pictures: torch.Tensor, operations: Sequence[Operation], chosen: torch.Tensor, values: torch.Tensor
) -> torch.Tensor:
    """Each sample after operations[its `chosen`] with its value; -1 leaves it alone. int64 [B], float [B]."""
    result = pictures.clone()
    # all groups' sizes in one go: a GPU is waited for once
    sizes = torch.bincount(chosen + 1, minlength=len(operations) + 1).tolist()
    _, *groups = chosen.argsort().split(sizes)
    for operation, rows in zip(operations, groups, strict=True):
        if len(rows):
            result[rows] = operation(pictures[rows], values[rows])
    return result
