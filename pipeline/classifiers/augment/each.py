"""Different operations for the samples of a batch."""

from collections.abc import Callable, Sequence

import torch

Operation = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""(uint8 [N, 3, H, W] pictures, float [N] values) -> uint8 [N, 3, H, W]."""


def constant(values: Sequence, device: torch.device, dtype: torch.dtype | None = None) -> torch.Tensor:
    """`values` as a tensor on the device; a GPU is not waited for, as torch.tensor would."""
    return torch.tensor(values, dtype=dtype).to(device, non_blocking=True)


def apply_each(
    pictures: torch.Tensor, operations: Sequence[Operation], chosen: torch.Tensor, values: torch.Tensor
) -> torch.Tensor:
    """Each sample after operations[its `chosen`] with its value; -1 leaves it alone. int64 [B], float [B]."""
    result = pictures.clone()
    # all groups' sizes in one go: a GPU is waited for once (by bincount, twice)
    numbers = torch.arange(-1, len(operations), device=chosen.device)
    sizes = (chosen == numbers[:, None]).sum(1).tolist()
    _, *groups = chosen.argsort().split(sizes)
    for operation, rows in zip(operations, groups, strict=True):
        if len(rows):
            result[rows] = operation(pictures[rows], values[rows])
    return result
