"""CLIP's image encoder, which looks at one picture at a time."""

from types import SimpleNamespace
from typing import Any

import torch
from torch import nn


class OneByOne(nn.Module):
    """An image encoder whose embedding of a picture does not depend on its place in a batch, bit by bit.

    In a batch, attention over an odd number of patches differs in the last bits between the threads of a CPU.
    """

    def __init__(self, encoder: nn.Module):
        super().__init__()
        self.encoder, self.config, self.dtype = encoder, encoder.config, encoder.dtype

    @property
    def device(self) -> torch.device:
        return self.encoder.device

    def forward(self, pixels: torch.Tensor) -> Any:
        """Pixels [B, 3, S, S]; the result's `image_embeds` are [B, D]."""
        return SimpleNamespace(image_embeds=torch.cat([self.encoder(one).image_embeds for one in pixels.split(1)]))
