"""Random changes of colour, and blur."""

import math

import torch

from pipeline.classifiers.augment import tone
from pipeline.classifiers.augment.each import apply_each, constant
from pipeline.classifiers.input.random_numbers import Draws

JITTER = (tone.brightness, tone.contrast, tone.saturation, tone.hue)


def color_jitter(
    pictures: torch.Tensor,
    draws: Draws,
    brightness: float,
    contrast: float,
    saturation: float,
    hue: float,
    probability: float,
) -> torch.Tensor:
    """torchvision's ColorJitter: factors in max(0, 1 - s)..1 + s, and the hue shifted by -hue..hue of a full circle.

    All values are uniform, and the order is random; a change with s = 0 is skipped. `probability` is that of any jitter.
    """
    jittered = draws.uniform() < probability
    order = draws.uniform(len(JITTER)).argsort(1)
    uniforms = draws.uniform(len(JITTER))
    factors = (brightness, contrast, saturation)
    low, high, strengths = constant(
        [
            [*(max(1 - strength, 0) for strength in factors), -hue],
            [*(1 + strength for strength in factors), hue],
            [*factors, hue],
        ],
        uniforms.device,
        uniforms.dtype,
    )
    values = low + (high - low) * uniforms
    for chosen in order.unbind(1):
        value = values.gather(1, chosen[:, None]).squeeze(1)
        used = jittered & (strengths[chosen] > 0)
        pictures = apply_each(pictures, JITTER, chosen.where(used, -1), value)
    return pictures


def grayscale(pictures: torch.Tensor, draws: Draws, probability: float) -> torch.Tensor:
    """Turn pictures grey with `probability`: three equal channels."""
    greyed = (draws.uniform() < probability)[:, None, None, None]
    return torch.where(greyed, tone.grey(pictures).to(torch.uint8), pictures)


def blur(pictures: torch.Tensor, draws: Draws, sigma: tuple[float, float], probability: float) -> torch.Tensor:
    """Gaussian blur with `probability`; its width is uniform in sigma[0]..sigma[1] pixels.

    The kernel ends at three times sigma[1]; border pixels are repeated outside the picture.
    """
    rows = (draws.uniform() < probability).nonzero().squeeze(1)
    sigmas = (sigma[0] + (sigma[1] - sigma[0]) * draws.uniform())[rows]
    radius = math.ceil(3 * sigma[1])
    offset = torch.arange(-radius, radius + 1, device=pictures.device)
    weights = torch.softmax(-(offset**2) / (2 * sigmas[:, None] ** 2), 1)[:, :, None, None, None].unbind(1)
    blurred = pictures[rows].float()
    for dimension, pads in ((3, (radius, radius, 0, 0)), (2, (0, 0, radius, radius))):
        size = pictures.shape[dimension]
        padded = torch.nn.functional.pad(blurred, pads, mode="replicate")
        blurred = torch.zeros_like(blurred)
        for start, weight in enumerate(weights):
            blurred.addcmul_(padded.narrow(dimension, start, size), weight)
    return pictures.index_copy(0, rows, blurred.round_().to(torch.uint8))
