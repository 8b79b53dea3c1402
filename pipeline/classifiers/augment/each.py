"""A different operation for each sample of a batch."""

from collections.abc import Callable, Sequence

import torch

Operation = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
"""(uint8 [N, 3, H, W] pictures, float [N] values) -> uint8 [N, 3, H, W]."""


def constant(values: Sequence, device: torch.device, dtype: torch.dtype | None = None) -> torch.Tensor:
    """`values` as a tensor on the device, without the wait for a GPU that torch.tensor(device=...) has."""
    return torch.tensor(values, dtype=dtype).to(device, non_blocking=True)


def apply_each(
    pictures: torch.Tensor, operations: Sequence[Operation], chosen: torch.Tensor, values: torch.Tensor
) -> torch.Tensor:
    """Apply operations[chosen] to each sample with its value; -1 leaves it unchanged. chosen: int64 [B]; values: float [B]."""
    result = pictures.clone()
    # all groups' sizes at once: this waits for a GPU once, bincount would wait twice
    numbers = torch.arange(-1, len(operations), device=chosen.device)
    sizes = (chosen == numbers[:, None]).sum(1).tolist()
    _, *groups = chosen.argsort().split(sizes)
    for operation, rows in zip(operations, groups, strict=True):
        if len(rows):
            result[rows] = operation(pictures[rows], values[rows])
    return result
