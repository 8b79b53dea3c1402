"""The class-conditional U-Net of CBDM, as diffusers' `UNet2DModel`."""

from collections.abc import Mapping
from typing import Any

import torch
from diffusers import UNet2DModel
from diffusers.utils import logging


def build(settings: Mapping[str, Any], classes: int, side: int, channels: int = 3) -> UNet2DModel:
    """A U-Net with fresh weights for pictures of `side` pixels in [-1, 1]; `channels` is 3 for RGB, 1 for grey.

    The label's embedding is added to the time's. Label `classes` means "no label": its embedding is zero and stays
    zero, which is CBDM's unconditional pass, the embedding left out. Attention has one head, after every block of
    its levels and in the middle. With the default settings: 35.8 M parameters, as CBDM's.
    """
    levels = range(len(settings["multipliers"]))
    attends = [level in settings["attention_levels"] for level in levels]
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()  # diffusers warns about one head per block, which is what CBDM has
    unet = UNet2DModel(
        sample_size=side,
        in_channels=channels,
        out_channels=channels,
        block_out_channels=[settings["channels"] * multiplier for multiplier in settings["multipliers"]],
        layers_per_block=settings["blocks"],
        down_block_types=["AttnDownBlock2D" if attend else "DownBlock2D" for attend in attends],
        up_block_types=["AttnUpBlock2D" if attend else "UpBlock2D" for attend in reversed(attends)],
        attention_head_dim=None,
        dropout=settings["dropout"],
        # at least four channels a group: a group of one would wipe out what time and label add to a channel
        norm_num_groups=min(32, settings["channels"] // 4),
        num_class_embeds=classes + 1,
    )
    logging.set_verbosity(verbosity)
    unet.class_embedding.padding_idx = no_label(unet)  # its gradient is zero from here on
    with torch.no_grad():
        unet.class_embedding.weight[no_label(unet)].zero_()
    return unet


def no_label(unet: UNet2DModel) -> int:
    """The label that stands for "no label"."""
    return unet.config.num_class_embeds - 1
