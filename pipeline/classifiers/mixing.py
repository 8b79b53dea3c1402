"""Pictures made of two: MixUp (Zhang et al. 2018) and CutMix (Yun et al. 2019)."""

from collections.abc import Callable

import numpy as np
import torch

Box = tuple[int, int, int, int]
"""First row, row after the last, first column, column after the last."""


def mixed_up(first: torch.Tensor, second: torch.Tensor, share: float) -> torch.Tensor:
    """share * first + (1 - share) * second: float of pictures [B, 3, H, W] with levels of 0 to 255."""
    return share * first.float() + (1 - share) * second.float()


def pasted(background: torch.Tensor, patch: torch.Tensor, box: Box) -> torch.Tensor:
    """`background` [B, 3, H, W] with what lies in the box taken from `patch`."""
    top, bottom, left, right = box
    out = background.clone()
    out[:, :, top:bottom, left:right] = patch[:, :, top:bottom, left:right]
    return out


def area_outside(box: Box, height: int, width: int) -> float:
    """Share of the picture that is still the background's: the label weight that goes with a clipped box."""
    top, bottom, left, right = box
    return 1 - (bottom - top) * (right - left) / (height * width)


def random_box(
    random: np.random.Generator, share: float, height: int, width: int, rounded: Callable[[float], int] = int
) -> Box:
    """A box of about 1 - share of the area, its centre anywhere: CutMix, public code.

    Sides are side * sqrt(1 - share), `rounded` (down, unless said), the centre is a whole pixel, and the border clips.
    """
    cut = np.sqrt(1 - share)
    row, column = (int(random.integers(side)) for side in (height, width))
    return *_clipped(row, rounded(height * cut), height), *_clipped(column, rounded(width * cut), width)


def _clipped(centre: int, length: int, side: int) -> tuple[int, int]:
    return max(centre - length // 2, 0), min(centre + length // 2, side)
