"""Mixtures of two pictures: MixUp (Zhang et al. 2018) and CutMix (Yun et al. 2019)."""

from collections.abc import Callable

import numpy as np
import torch

Box = tuple[int, int, int, int]
"""First row, row after the last, first column, column after the last."""


def mixed_up(first: torch.Tensor, second: torch.Tensor, share: float) -> torch.Tensor:
    """MixUp: share * first + (1 - share) * second, float, of pictures [B, 3, H, W] with levels of 0 to 255."""
    return share * first.float() + (1 - share) * second.float()


def pasted(background: torch.Tensor, patch: torch.Tensor, box: Box) -> torch.Tensor:
    """CutMix: `background` [B, 3, H, W] with the box filled from `patch`."""
    top, bottom, left, right = box
    out = background.clone()
    out[:, :, top:bottom, left:right] = patch[:, :, top:bottom, left:right]
    return out


def area_outside(box: Box, height: int, width: int) -> float:
    """Share of the picture outside the box: the background's label weight for a clipped box."""
    top, bottom, left, right = box
    return 1 - (bottom - top) * (right - left) / (height * width)


def random_box(
    random: np.random.Generator, share: float, height: int, width: int, rounded: Callable[[float], int] = int
) -> Box:
    """Random box of about 1 - share of the area, as in CutMix's public code.

    Sides are side * sqrt(1 - share), `rounded` (default: down). The centre is a random whole pixel, and the border clips
    the box.
    """
    cut = np.sqrt(1 - share)
    row, column = (int(random.integers(side)) for side in (height, width))
    return *_clipped(row, rounded(height * cut), height), *_clipped(column, rounded(width * cut), width)


def _clipped(centre: int, length: int, side: int) -> tuple[int, int]:
    return max(centre - length // 2, 0), min(centre + length // 2, side)
