"""The class-conditional U-Net of CBDM, or of ADM's shape, as diffusers' `UNet2DModel`."""

from collections.abc import Mapping
from typing import Any

import torch
from diffusers import UNet2DModel
from diffusers.utils import logging


def build(settings: Mapping[str, Any], classes: int, side: int, channels: int = 3) -> UNet2DModel:
    """Build a U-Net with fresh weights for pictures of `side` pixels in [-1, 1]; `channels` is 3 for RGB, 1 for grey.

    The label's embedding is added to the time's. Label `classes` means "no label": its embedding is zero and stays
    zero, like CBDM's unconditional pass without the embedding. Attention follows every block of its levels, and is
    in the middle block. The default settings give 35.8 M parameters, as in CBDM.

    `head_channels` (None is one head, as in CBDM), `time_as` "scale_and_shift" and `resample` "residual" give ADM's shape
    (guided-diffusion's code). Absent settings are CBDM's.
    """
    residual = settings.get("resample") == "residual"
    plain_down, plain_up = (
        ("ResnetDownsampleBlock2D", "ResnetUpsampleBlock2D") if residual else ("DownBlock2D", "UpBlock2D")
    )
    attends = [level in settings["attention_levels"] for level in range(len(settings["multipliers"]))]
    # at least four channels per group: with one, group norm would cancel what time and label add to a channel
    groups = min(32, settings["channels"] // 4)
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()  # diffusers warns about one head per block, as in CBDM
    unet = UNet2DModel(
        sample_size=side,
        in_channels=channels,
        out_channels=channels,
        block_out_channels=[settings["channels"] * multiplier for multiplier in settings["multipliers"]],
        layers_per_block=settings["blocks"],
        down_block_types=["AttnDownBlock2D" if attend else plain_down for attend in attends],
        up_block_types=["AttnUpBlock2D" if attend else plain_up for attend in reversed(attends)],
        # these two apply only to blocks with attention; the other blocks resample by their type
        downsample_type="resnet" if residual else "conv",
        upsample_type="resnet" if residual else "conv",
        attention_head_dim=settings.get("head_channels"),
        dropout=settings["dropout"],
        norm_num_groups=groups,
        attn_norm_num_groups=groups,  # of the middle block; diffusers omits it with scale and shift
        resnet_time_scale_shift="scale_shift" if settings.get("time_as") == "scale_and_shift" else "default",
        num_class_embeds=classes + 1,
    )
    logging.set_verbosity(verbosity)
    unet.class_embedding.padding_idx = no_label(unet)  # its gradient is zero from here on
    with torch.no_grad():
        unet.class_embedding.weight[no_label(unet)].zero_()
    return unet


def no_label(unet: UNet2DModel) -> int:
    """The label that means "no label"."""
    return unet.config.num_class_embeds - 1


def layout(device: torch.device) -> torch.memory_format:
    """The fastest memory format of a U-Net on the device; on a CPU, group norm outweighs the convolutions."""
    return torch.channels_last if device.type == "cuda" else torch.contiguous_format
