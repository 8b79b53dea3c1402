"""Changes of colour, one value per sample: Pillow's ImageEnhance and ImageOps for a batch, bit for bit unless noted.

All functions take and return pictures as uint8 [B, 3, H, W]; values: float [B].
"""

import torch


def brightness(pictures: torch.Tensor, factors: torch.Tensor) -> torch.Tensor:
    """Change brightness: black at 0, the picture at 1, brighter above 1."""
    return _blend(torch.zeros_like(pictures), pictures, factors)


def contrast(pictures: torch.Tensor, factors: torch.Tensor) -> torch.Tensor:
    """Change contrast: the mean grey at 0, the picture at 1, more contrast above 1."""
    pixels = pictures.shape[2] * pictures.shape[3]
    total = grey(pictures).sum((1, 2, 3), keepdim=True)
    return _blend((2 * total + pixels) // (2 * pixels), pictures, factors)


def saturation(pictures: torch.Tensor, factors: torch.Tensor) -> torch.Tensor:
    """Change saturation: grey at 0, the picture at 1, more colour above 1."""
    return _blend(grey(pictures), pictures, factors)


def sharpness(pictures: torch.Tensor, factors: torch.Tensor) -> torch.Tensor:
    """Change sharpness: smoothed at 0, the picture at 1, sharper above 1; the outermost pixels stay."""
    pixels = pictures.short()
    rows = pixels[..., :-2, :] + pixels[..., 1:-1, :] + pixels[..., 2:, :]
    square = rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:]
    smooth = pixels.clone()
    smooth[..., 1:-1, 1:-1] = (
        2 * (square + 4 * pixels[..., 1:-1, 1:-1]) + 13
    ) // 26  # a centre of 5/13, 1/13 around it
    return _blend(smooth, pictures, factors)


def hue(pictures: torch.Tensor, shifts: torch.Tensor) -> torch.Tensor:
    """Shift the hue by `shifts` of a full circle; value and saturation stay.

    As torchvision's `adjust_hue` of tensors; that of Pillow's pictures rounds hues to 256 steps.
    """
    red, green, blue = pictures.float().unbind(1)
    brightest, darkest = pictures.amax(1).float(), pictures.amin(1).float()
    chroma = brightest - darkest
    sixth = torch.where(
        brightest == red,
        green - blue,
        torch.where(brightest == green, blue - red + 2 * chroma, red - green + 4 * chroma),
    ) / chroma.clamp(min=1)
    turned = sixth + 6 * shifts[:, None, None]
    channels = []
    for offset in (5, 3, 1):
        along = (turned + offset) % 6
        channels.append(brightest - chroma * torch.minimum(along, 4 - along).clamp(0, 1))
    return (torch.stack(channels, 1) * (255.999 / 255)).to(torch.uint8)


def posterize(pictures: torch.Tensor, bits: torch.Tensor) -> torch.Tensor:
    """Keep the highest `bits` of each pixel, 0..8, rounded."""
    return pictures & (256 - 2 ** (8 - _spread(bits).round())).to(torch.uint8)


def solarize(pictures: torch.Tensor, thresholds: torch.Tensor) -> torch.Tensor:
    """Invert pixels at or above the threshold."""
    return torch.where(pictures < _spread(thresholds), pictures, ~pictures)


def solarize_add(pictures: torch.Tensor, amounts: torch.Tensor) -> torch.Tensor:
    """Add a whole number in 0..127 to pixels below 128 (RandAugment in timm)."""
    return torch.where(pictures < 128, pictures + _spread(amounts).to(torch.uint8), pictures)


def invert(pictures: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
    """Invert pictures: 255 minus the pixel."""
    return ~pictures


def auto_contrast(pictures: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
    """Stretch each channel to 0..255, rounded down; in Pillow rounding errors make some levels one lower."""
    darkest, brightest = (of(pictures, (2, 3), keepdim=True).int() for of in (torch.amin, torch.amax))
    span = brightest - darkest
    stretched = (pictures - darkest) * 255 // span.clamp(min=1)
    return torch.where(span > 0, stretched, pictures).to(torch.uint8)


def equalize(pictures: torch.Tensor, _: torch.Tensor) -> torch.Tensor:
    """Give each channel an even histogram, by Pillow's whole-number scheme."""
    levels = pictures.flatten(2).long()
    counts = torch.zeros(*levels.shape[:2], 256, dtype=torch.int64, device=levels.device)
    counts.scatter_add_(2, levels, torch.ones_like(levels))
    step = (levels.shape[2] - counts.gather(2, levels.amax(2, keepdim=True))) // 255
    darker = counts.cumsum(2) - counts
    table = ((darker + step // 2) // step.clamp(min=1)).clamp(max=255)
    table = torch.where(step > 0, table, torch.arange(256, device=levels.device)).to(torch.uint8)
    return table.gather(2, levels).view_as(pictures)


OPERATIONS = {
    operation.__name__: operation
    for operation in (
        brightness,
        contrast,
        saturation,
        sharpness,
        hue,
        posterize,
        solarize,
        solarize_add,
        invert,
        auto_contrast,
        equalize,
    )
}
"""Name of an operation -> the operation."""


def grey(pictures: torch.Tensor) -> torch.Tensor:
    """ITU-R 601 luma, rounded as in Pillow: int32 [B, 1, H, W] in 0..255."""
    red, green, blue = pictures.int().split(1, 1)
    return (19595 * red + 38470 * green + 7471 * blue + 32768) >> 16


def _blend(nothing: torch.Tensor, pictures: torch.Tensor, factors: torch.Tensor) -> torch.Tensor:
    """Blend linearly: `nothing` at factor 0, the pictures at 1; clipped to 0..255 and rounded down."""
    nothing = nothing.float()
    return (nothing + _spread(factors) * (pictures - nothing)).clamp_(0, 255).to(torch.uint8)


def _spread(values: torch.Tensor) -> torch.Tensor:
    return values[:, None, None, None]
