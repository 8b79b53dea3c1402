"""Initial weights of the U-Nets, as in the public code of CBDM (Qin et al. 2023) and ADM (Dhariwal and Nichol 2021)."""

from collections.abc import Iterator

import torch
from diffusers import UNet2DModel
from diffusers.models.attention_processor import Attention
from diffusers.models.resnet import ResnetBlock2D
from torch import nn

GAIN = 1e-5
"""Gain of CBDM's last convolutions. A fresh network predicts almost 0, so the first loss is that of the noise, about 1."""


@torch.no_grad()
def initialize(unet: UNet2DModel, kind: str) -> None:
    """Set the weights of a fresh network in place, drawn from torch's global random generator.

    "xavier", as in CBDM: Xavier-uniform weights and zero biases of all convolutions and linear layers. The last convolutions
    of residual blocks and of the network are almost zero. The last layers of attention are not, as in CBDM's code.
    "zeroed", as in ADM: torch's own weights. The last layers of residual blocks, attention and the network are zero.

    Norms and embeddings of labels keep torch's own: 1 and 0, and a standard normal distribution.
    """
    last = [*_last_of(unet, ResnetBlock2D), unet.conv_out]
    if kind == "xavier":
        for layer in unet.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                nn.init.xavier_uniform_(layer.weight)
                nn.init.zeros_(layer.bias)
        for layer in last:
            nn.init.xavier_uniform_(layer.weight, GAIN)
    else:
        for layer in [*last, *_last_of(unet, Attention)]:
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)


def _last_of(unet: UNet2DModel, kind: type[ResnetBlock2D] | type[Attention]) -> Iterator[nn.Conv2d | nn.Linear]:
    """The last layer of each residual block, or of each attention."""
    for module in unet.modules():
        if isinstance(module, kind):
            yield module.to_out[0] if isinstance(module, Attention) else module.conv2
