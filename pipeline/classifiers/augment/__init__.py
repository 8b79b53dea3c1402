"""Random augmentation of whole batches, on any device; each sample has its own draw."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from pipeline.classifiers.augment.colour import blur, color_jitter, grayscale
from pipeline.classifiers.augment.geometry import crop, cutout, flip, resized_crop
from pipeline.classifiers.augment.policies import auto_augment, rand_augment
from pipeline.classifiers.input.random_numbers import Draws
from pipeline.errors import InputError

KINDS = {
    kind.__name__: kind
    for kind in (crop, flip, resized_crop, color_jitter, grayscale, blur, auto_augment, rand_augment, cutout)
}
"""Values that a step's `kind` may have; the other keys of the step are the function's arguments."""


def augment(pictures: torch.Tensor, steps: Sequence[Mapping[str, Any]], draws: Draws) -> torch.Tensor:
    """Apply `steps` in order to RGB pictures, uint8 [B, 3, H, W]; the result is uint8 on the same device.

    A step is {"kind": one of KINDS, or "either", ...} with the parameters of that kind. `draws` has B rows, on the pictures' device.
    How many numbers a step takes from it depends only on the step's parameters. Pixels are whole numbers after each
    step, as in Pillow. Raises InputError for pictures of another type or shape and for unknown kinds.
    """
    if pictures.dtype != torch.uint8 or pictures.ndim != 4 or pictures.shape[1] != 3:
        raise InputError(
            f"pictures to augment are {pictures.dtype} of shape {tuple(pictures.shape)}, not torch.uint8 [B, 3, H, W]"
        )
    for step in steps:
        parameters = dict(step)
        kind = parameters.pop("kind")
        if kind == "either":
            pictures = _either(pictures, draws, **parameters)
            continue
        if kind not in KINDS:
            raise InputError(f"there is no augmentation {kind}; allowed are {', '.join(KINDS)}")
        pictures = KINDS[kind](pictures, draws, **parameters)
    return pictures


def _either(
    pictures: torch.Tensor,
    draws: Draws,
    first: Sequence[Mapping[str, Any]],
    second: Sequence[Mapping[str, Any]],
    probability: float,
) -> torch.Tensor:
    """Apply the first steps to a sample with a probability, and else the second steps, as CMO's code does (Park et al. 2022)."""
    chosen = draws.uniform() < probability
    result = torch.empty_like(pictures)
    for rows, steps in ((chosen, first), (~chosen, second)):
        result[rows] = augment(pictures[rows], steps, draws.of(rows))
    return result
