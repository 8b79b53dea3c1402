"""A batch, as losses and schemes see it."""

from typing import NamedTuple

import torch


class Batch(NamedTuple):
    """Augmented pictures: each view is uint8 [B, 3, H, W].

    labels: int64 [B]. generated: bool [B]. groups: int64 [B], numbered by `pipeline.data.groups`; -1 for a picture without
    a group.
    """

    views: list[torch.Tensor]
    labels: torch.Tensor
    generated: torch.Tensor
    groups: torch.Tensor
