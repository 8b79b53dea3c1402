"""Draw pictures with GLIDE, as its authors do."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch

from pipeline.errors import InputError
from pipeline.foundations import GLIDE
from pipeline.foundations.components import components, pipeline_class
from pipeline.foundations.table import folder_of
from pipeline.generators.glide.chains import Network, base, upsampled
from pipeline.generators.text_to_image.batches import in_batches
from pipeline.jobs.inputs import Inputs, only


class Sampler:
    """A converted GLIDE that draws the pictures of a plan's rows.

    inputs: `foundation`, the model's table. settings: `draw` (steps, guidance_scale, upsample), `batch_size`, and `generator`
    (precision). Raises InputError if the model is damaged, is not GLIDE, or lacks the upsampler that is asked for.
    """

    def __init__(self, inputs: Inputs, settings: Mapping[str, Any], device: torch.device):
        folder = folder_of(only(inputs, "foundation"))
        if (found := pipeline_class(folder)) != GLIDE:
            raise InputError(f"{folder} is a {found}, not a GLIDE; draw with `kind: text_to_image`")
        loaded = components(folder, getattr(torch, settings["generator"]["precision"]))
        if settings["draw"]["upsample"] and "upsampler_unet" not in loaded:
            raise InputError(f"{folder} has no upsampler; give the foundation one, or draw without `upsample`")
        self._model, self._batch_size = Glide(loaded, settings["draw"], device), settings["batch_size"]

    def draw(self, rows: pd.DataFrame) -> Iterator[np.ndarray]:
        """Draw pictures for rows of the plan; see `in_batches`."""
        return in_batches(self._model, rows, self._batch_size)


class Glide:
    """A model whose components are loaded, ready to draw. draw: steps, guidance_scale, upsample."""

    def __init__(self, loaded: Mapping[str, Any], draw: Mapping[str, Any], device: torch.device):
        self._draw, self._base = draw, _network(loaded, "", device)
        self._upsampler = _network(loaded, "upsampler_", device) if draw["upsample"] else None

    def cut(self, prompts: list[str]) -> int:
        """Number of prompts with more tokens than the text encoder reads."""
        return sum(length > self._base.context for length in self._base.lengths(prompts))

    def draw(self, prompts: list[str], generators: list[torch.Generator]) -> torch.Tensor:
        """Pictures in [0, 1], float32 [B, 3, H, W]; each has its own generator, which draws on the CPU."""
        pictures = base(self._base, self._draw, prompts, generators)
        if self._upsampler:
            pictures = upsampled(self._upsampler, pictures, prompts, generators)
        return pictures / 2 + 0.5


def _network(loaded: Mapping[str, Any], prefix: str, device: torch.device) -> Network:
    """The network of the components with names of this prefix, on the device."""
    unet, text_encoder = (loaded[f"{prefix}{name}"].to(device) for name in ("unet", "text_encoder"))
    return Network(unet, text_encoder, loaded[f"{prefix}tokenizer"], loaded[f"{prefix}scheduler"])
