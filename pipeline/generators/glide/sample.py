"""Draw pictures with GLIDE, as its authors do."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
import torch

from pipeline.errors import InputError
from pipeline.generators.glide.chains import Network, base, upsampled
from pipeline.generators.pretrained import PretrainedSampler


class Sampler(PretrainedSampler):
    """A converted GLIDE that draws from the rows' prompts. Raises InputError if it lacks the upsampler that is asked for."""

    def model(self, found: dict[str, Any]) -> "Glide":
        if self.how["upsample"] and "upsampler_unet" not in found:
            raise InputError(f"{self.folder} has no upsampler; give the foundation one, or draw without `upsample`")
        return Glide(found, self.how, self.device)


class Glide:
    """A model whose components are loaded, ready to draw. draw: steps, guidance_scale, upsample."""

    def __init__(self, loaded: Mapping[str, Any], draw: Mapping[str, Any], device: torch.device):
        self._draw, self._base = draw, _network(loaded, "", device)
        self._upsampler = _network(loaded, "upsampler_", device) if draw["upsample"] else None

    def cut(self, prompts: list[str]) -> int:
        """Number of prompts with more tokens than the text encoder reads."""
        return sum(length > self._base.context for length in self._base.lengths(prompts))

    def draw(self, rows: pd.DataFrame, generators: list[torch.Generator]) -> torch.Tensor:
        """Pictures in [0, 1], float32 [B, 3, H, W]; each has its own generator, which draws on the CPU."""
        prompts = rows["prompt"].tolist()
        pictures = base(self._base, self._draw, prompts, generators)
        if self._upsampler:
            pictures = upsampled(self._upsampler, pictures, prompts, generators)
        return pictures / 2 + 0.5


def _network(loaded: Mapping[str, Any], prefix: str, device: torch.device) -> Network:
    """The network of the components with names of this prefix, on the device."""
    unet, text_encoder = (loaded[f"{prefix}{name}"].to(device) for name in ("unet", "text_encoder"))
    return Network(unet, text_encoder, loaded[f"{prefix}tokenizer"], loaded[f"{prefix}scheduler"])
