"""Rotations, shears and shifts, one value per sample, with Pillow's geometry: pixel centres lie at halves.

pictures: uint8 [B, 3, H, W]; values: float [B]; fill: the colour outside the picture; bilinear: False takes the nearest pixel.
"""

import torch

from pipeline.classifiers.augment.each import constant
from pipeline.classifiers.augment.geometry import take

Colour = tuple[int, int, int]


def rotate(pictures: torch.Tensor, degrees: torch.Tensor, fill: Colour, bilinear: bool) -> torch.Tensor:
    """Rotate counter-clockwise about the centre."""
    height, width = pictures.shape[2:]
    cosine, sine = degrees.deg2rad().cos(), degrees.deg2rad().sin()
    matrices = torch.stack(
        [
            torch.stack([cosine, -sine, (width - cosine * width + sine * height) / 2], 1),
            torch.stack([sine, cosine, (height - sine * width - cosine * height) / 2], 1),
        ],
        1,
    )
    return _transform(pictures, matrices, fill, bilinear)


def shear_x(pictures: torch.Tensor, factors: torch.Tensor, fill: Colour, bilinear: bool) -> torch.Tensor:
    """Shear horizontally: row y is taken from `factors` * y pixels further right."""
    return _transform(pictures, _identity_but(0, 1, factors), fill, bilinear)


def shear_y(pictures: torch.Tensor, factors: torch.Tensor, fill: Colour, bilinear: bool) -> torch.Tensor:
    """Shear vertically: column x is taken from `factors` * x pixels further down."""
    return _transform(pictures, _identity_but(1, 0, factors), fill, bilinear)


def translate_x(pictures: torch.Tensor, shares: torch.Tensor, fill: Colour, bilinear: bool) -> torch.Tensor:
    """Shift horizontally: pixels are taken from `shares` of the width further right."""
    return _transform(pictures, _identity_but(0, 2, shares * pictures.shape[3]), fill, bilinear)


def translate_y(pictures: torch.Tensor, shares: torch.Tensor, fill: Colour, bilinear: bool) -> torch.Tensor:
    """Shift vertically: pixels are taken from `shares` of the height further down."""
    return _transform(pictures, _identity_but(1, 2, shares * pictures.shape[2]), fill, bilinear)


OPERATIONS = {operation.__name__: operation for operation in (rotate, shear_x, shear_y, translate_x, translate_y)}
"""Name of an operation -> the operation."""


def _identity_but(row: int, column: int, values: torch.Tensor) -> torch.Tensor:
    matrices = torch.eye(2, 3, device=values.device).repeat(len(values), 1, 1)
    matrices[:, row, column] = values
    return matrices


def _transform(pictures: torch.Tensor, matrices: torch.Tensor, fill: Colour, bilinear: bool) -> torch.Tensor:
    """Apply affine matrices, float [B, 2, 3]: the pixel at (x, y) is taken from matrix @ (x, y, 1)."""
    height, width = pictures.shape[2:]
    x = torch.arange(width, device=pictures.device) + 0.5
    y = torch.arange(height, device=pictures.device)[:, None] + 0.5
    from_x, from_y = (
        row[:, 0, None, None] * x + row[:, 1, None, None] * y + row[:, 2, None, None] for row in matrices.unbind(1)
    )
    colour = constant(fill, pictures.device, torch.uint8)
    if not bilinear:
        return take(pictures, from_y.floor().long(), from_x.floor().long(), colour)
    grid = torch.stack([2 * from_x / width - 1, 2 * from_y / height - 1], 3)
    sampled = torch.nn.functional.grid_sample(pictures.float(), grid, "bilinear", "border", align_corners=False)
    inside = (from_x >= 0) & (from_x < width) & (from_y >= 0) & (from_y < height)
    return torch.where(inside[:, None], sampled.round_().to(torch.uint8), colour[:, None, None])
