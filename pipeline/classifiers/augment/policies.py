"""AutoAugment and RandAugment: a few operations per sample, chosen from a list."""

from collections.abc import Mapping
from functools import partial
from typing import NamedTuple

import torch

from pipeline.classifiers.augment import affine, tone
from pipeline.classifiers.augment.each import apply_each, constant
from pipeline.classifiers.input.random_numbers import Draws
from pipeline.errors import InputError


class Range(NamedTuple):
    """Range of an operation's value: `start` at magnitude 0, start + change at the largest; if `signed`, also start - change."""

    start: float = 0
    change: float = 0
    signed: bool = False


AUTO_AUGMENT = {
    "auto_contrast": Range(),
    "brightness": Range(1, 0.9, True),
    "contrast": Range(1, 0.9, True),
    "equalize": Range(),
    "invert": Range(),
    "posterize": Range(8, -4),
    "rotate": Range(0, 30, True),
    "saturation": Range(1, 0.9, True),
    "sharpness": Range(1, 0.9, True),
    "shear_y": Range(0, 0.3, True),
    "solarize": Range(256, -256),
    "translate_x": Range(0, 150 / 331, True),
    "translate_y": Range(0, 150 / 331, True),
}
"""Ranges of the operations in the policy below (Cubuk et al. 2019); the largest magnitude is 9.

Unlike here, SAU's and GLMC's code never negates a rotation, and interpolates between pixels when it shears.
"""

CIFAR10 = (
    (("invert", 0.1, 7), ("contrast", 0.2, 6)),
    (("rotate", 0.7, 2), ("translate_x", 0.3, 9)),
    (("sharpness", 0.8, 1), ("sharpness", 0.9, 3)),
    (("shear_y", 0.5, 8), ("translate_y", 0.7, 9)),
    (("auto_contrast", 0.5, 8), ("equalize", 0.9, 2)),
    (("shear_y", 0.2, 7), ("posterize", 0.3, 7)),
    (("saturation", 0.4, 3), ("brightness", 0.6, 7)),
    (("sharpness", 0.3, 9), ("brightness", 0.7, 9)),
    (("equalize", 0.6, 5), ("equalize", 0.5, 1)),
    (("contrast", 0.6, 7), ("sharpness", 0.6, 5)),
    (("saturation", 0.7, 7), ("translate_x", 0.5, 8)),
    (("equalize", 0.3, 7), ("auto_contrast", 0.4, 8)),
    (("translate_y", 0.4, 3), ("sharpness", 0.2, 6)),
    (("brightness", 0.9, 6), ("saturation", 0.2, 8)),
    (("solarize", 0.5, 2), ("invert", 0.0, 3)),
    (("equalize", 0.2, 0), ("auto_contrast", 0.6, 0)),
    (("equalize", 0.2, 8), ("equalize", 0.6, 4)),
    (("saturation", 0.9, 9), ("equalize", 0.6, 6)),
    (("auto_contrast", 0.8, 4), ("solarize", 0.2, 8)),
    (("brightness", 0.1, 3), ("saturation", 0.7, 0)),
    (("solarize", 0.4, 5), ("auto_contrast", 0.9, 3)),
    (("translate_y", 0.9, 9), ("translate_y", 0.7, 9)),
    (("auto_contrast", 0.9, 2), ("solarize", 0.8, 3)),
    (("equalize", 0.8, 8), ("invert", 0.1, 3)),
    (("translate_y", 0.7, 9), ("auto_contrast", 0.9, 1)),
)
"""The 25 sub-policies found on CIFAR-10 (appendix of that paper): two operations each, with probability and magnitude."""

RAND_AUGMENT = {
    "auto_contrast": Range(),
    "equalize": Range(),
    "invert": Range(),
    "rotate": Range(0, 30, True),
    "posterize": Range(0, 4),
    "solarize": Range(0, 256),
    "solarize_add": Range(0, 110),
    "saturation": Range(0.1, 1.8),
    "contrast": Range(0.1, 1.8),
    "brightness": Range(0.1, 1.8),
    "sharpness": Range(0.1, 1.8),
    "shear_x": Range(0, 0.3, True),
    "shear_y": Range(0, 0.3, True),
    "translate_x": Range(0, 0.45, True),
    "translate_y": Range(0, 0.45, True),
}
"""timm's operations for "rand" without "inc". At magnitude 10, the largest, posterize and solarize change least."""

WHOLE = ("posterize", "solarize", "solarize_add")
"""Operations that take whole numbers: RandAugment rounds their values down."""


def auto_augment(pictures: torch.Tensor, draws: Draws, policy: str) -> torch.Tensor:
    """AutoAugment (Cubuk et al. 2019), each sample with its own sub-policy; the policy is "cifar10".

    Each of the two operations has its own probability and sign. Moved pixels are taken from the nearest one; outside the
    picture is grey of 128. Raises InputError for other policies.
    """
    if policy != "cifar10":
        raise InputError(f"there is no AutoAugment policy {policy}; allowed is cifar10")
    names = list(AUTO_AUGMENT)
    table = constant([[(names.index(name), *rest) for name, *rest in pair] for pair in CIFAR10], pictures.device)
    drawn = table[draws.integers(len(CIFAR10))]
    numbers, probabilities, magnitudes = drawn.unbind(2)
    numbers = numbers.long()
    used = draws.uniform(2) < probabilities
    values = _values(AUTO_AUGMENT, numbers, magnitudes / 9, draws.integers(2, 2))
    return _apply(pictures, names, numbers.where(used, -1), values, fill=(128, 128, 128), bilinear=False)


def rand_augment(
    pictures: torch.Tensor, draws: Draws, operations: int, magnitude: float, magnitude_std: float
) -> torch.Tensor:
    """timm's RandAugment `rand-n<operations>-m<magnitude>-mstd<magnitude_std>`, as used by CMO and by Fill-Up with it.

    Each sample draws `operations` with replacement. Each is used with probability 1/2, at a magnitude that is normally
    distributed and clipped to 0..10. Moved pixels are bilinear (in timm half of them are bicubic); outside the picture
    is ImageNet's mean.
    """
    numbers = draws.integers(len(RAND_AUGMENT), operations)
    used = draws.uniform(operations) < 0.5
    normal = torch.special.ndtri(draws.uniform(operations).double() + 2**-25).float()  # never ndtri(0) or ndtri(1)
    magnitudes = (magnitude + magnitude_std * normal).clamp(0, 10)
    values = _values(RAND_AUGMENT, numbers, magnitudes / 10, draws.integers(2, operations))
    names = list(RAND_AUGMENT)
    for name in WHOLE:
        values = torch.where(numbers == names.index(name), values.floor(), values)
    return _apply(pictures, names, numbers.where(used, -1), values, fill=(124, 116, 104), bilinear=True)


def _values(
    ranges: Mapping[str, Range], numbers: torch.Tensor, magnitudes: torch.Tensor, negative: torch.Tensor
) -> torch.Tensor:
    """Values, float [B, N], of operations: int64 numbers, magnitudes in 0..1 and `negative` 0 or 1, all [B, N]."""
    start, change, signed = constant(list(ranges.values()), numbers.device)[numbers].unbind(2)
    return start + change * magnitudes * (1 - 2 * signed * negative)


def _apply(
    pictures: torch.Tensor,
    names: list[str],
    chosen: torch.Tensor,
    values: torch.Tensor,
    fill: affine.Colour,
    bilinear: bool,
) -> torch.Tensor:
    """Apply N operations in order. chosen: int64 [B, N], positions in `names` or -1 for none; values: float [B, N]."""
    moving = {name: partial(move, fill=fill, bilinear=bilinear) for name, move in affine.OPERATIONS.items()}
    operations = [(moving | tone.OPERATIONS)[name] for name in names]
    for number, value in zip(chosen.unbind(1), values.unbind(1), strict=True):
        pictures = apply_each(pictures, operations, number, value)
    return pictures
