"""Crops, flips and holes."""

import math

import torch

from pipeline.classifiers.augment.each import constant
from pipeline.classifiers.input.random_numbers import Draws
from pipeline.errors import InputError

TRIES = 10
"""Boxes that a resized crop tries before it takes the middle of the picture."""

NARROWEST, WIDEST = 3 / 4, 4 / 3
"""Range of width over height of a resized crop's box."""


def crop(pictures: torch.Tensor, draws: Draws, padding: int) -> torch.Tensor:
    """Random crop: shift by -padding..padding pixels both ways, with black from outside the picture.

    Raises InputError if nothing of a picture might be left.
    """
    height, width = pictures.shape[2:]
    if padding >= min(height, width):
        raise InputError(f"crop with padding {padding} would lose pictures of {width} x {height} px; it must be less")
    shift = draws.integers(2 * padding + 1, 2) - padding
    rows = shift[:, 0, None, None] + torch.arange(height, device=pictures.device)[:, None]
    columns = shift[:, 1, None, None] + torch.arange(width, device=pictures.device)
    return take(pictures, rows, columns, torch.zeros(3, dtype=torch.uint8, device=pictures.device))


def flip(pictures: torch.Tensor, draws: Draws, probability: float) -> torch.Tensor:
    """Mirror left to right with `probability`."""
    mirrored = (draws.uniform() < probability)[:, None, None, None]
    return torch.where(mirrored, pictures.flip(3), pictures)


def resized_crop(pictures: torch.Tensor, draws: Draws, smallest: float) -> torch.Tensor:
    """Random resized crop: a random box of each picture, resized to the picture's height and width.

    Resizing is bilinear as in Pillow's `resize`, and rounded after each direction.
    """
    height, width = pictures.shape[2:]
    top, left, tall, wide = resized_crop_boxes(draws.uniform(TRIES + 1, 2), height, width, smallest).unbind(1)
    across = _resizing(left, wide, width)
    down = _resizing(top, tall, height)
    narrowed = torch.einsum("nchw,now->ncho", pictures.float(), across).add_(0.5).floor_()
    return torch.einsum("nchw,noh->ncow", narrowed, down).add_(0.5).to(torch.uint8)


def resized_crop_boxes(uniforms: torch.Tensor, height: int, width: int, smallest: float) -> torch.Tensor:
    """Boxes of torchvision's RandomResizedCrop: int64 [B, 4] of top, left, height, width, in a picture of height x width.

    Ten boxes are drawn: the area is uniform in smallest..1 of the picture's, width / height log-uniform in 3/4..4/3. The
    first box that fits gets a uniform position. If none fits, the box is the largest part of the picture's middle that
    this ratio allows. uniforms: float [B, 11, 2] in [0, 1); ten pairs for (area, ratio) and one for (top, left).
    """
    uniforms = uniforms.double()
    area = height * width * (smallest + (1 - smallest) * uniforms[:, :TRIES, 0])
    ratio = (math.log(NARROWEST) + math.log(WIDEST / NARROWEST) * uniforms[:, :TRIES, 1]).exp()
    tall, wide = (area / ratio).sqrt().round().long(), (area * ratio).sqrt().round().long()
    fits = (tall > 0) & (tall <= height) & (wide > 0) & (wide <= width)
    first = fits.int().argmax(1, keepdim=True)
    size = torch.cat([tall.gather(1, first), wide.gather(1, first)], 1)
    whole = constant([height, width], size.device)
    middle = constant([min(height, round(width / NARROWEST)), min(width, round(height * WIDEST))], size.device)
    found = fits.any(1, keepdim=True)
    size = torch.where(found, size, middle)
    corner = torch.where(found, (uniforms[:, TRIES] * (whole - size + 1)).long(), (whole - size) // 2)
    return torch.cat([corner, size], 1)


def cutout(pictures: torch.Tensor, draws: Draws, size: int) -> torch.Tensor:
    """Black out a size x size box, centred on a random pixel and clipped at the border (DeVries and Taylor 2017)."""
    height, width = pictures.shape[2:]
    rows = _from(draws.integers(height) - size // 2, size, height)
    columns = _from(draws.integers(width) - size // 2, size, width)
    return torch.where(rows[:, None, :, None] & columns[:, None, None, :], 0, pictures)


def take(pictures: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor, fill: torch.Tensor) -> torch.Tensor:
    """Pixels at int64 rows and columns that broadcast to [B, H, W]; outside the picture the colour is `fill`, uint8 [3]."""
    height, width = pictures.shape[2:]
    inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
    where = (rows.clamp(0, height - 1) * width + columns.clamp(0, width - 1)).flatten(1)
    taken = pictures.flatten(2).gather(2, where[:, None].expand(-1, 3, -1)).view_as(pictures)
    return torch.where(inside[:, None], taken, fill[:, None, None])


def _from(start: torch.Tensor, length: torch.Tensor | int, count: int) -> torch.Tensor:
    """Mask of the positions start..start + length - 1, bool [B, count]."""
    position = torch.arange(count, device=start.device)
    end = start + length
    return (position >= start[:, None]) & (position < end[:, None])


def _resizing(start: torch.Tensor, length: torch.Tensor, count: int) -> torch.Tensor:
    """Bilinear weights that resize pixels start..start + length - 1 to `count` pixels: float [B, count (new), count (old)]."""
    scale = (length / count)[:, None, None]  # at most 1, because a box is never shrunk
    centre = start[:, None, None] + (torch.arange(count, device=start.device)[:, None] + 0.5) * scale
    distance = (torch.arange(count, device=start.device) + 0.5 - centre).abs()
    weights = (1 - distance).clamp(min=0) * _from(start, length, count)[:, None]
    return weights / weights.sum(2, keepdim=True)
