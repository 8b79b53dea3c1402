"""Stable Diffusion that starts from pictures (SDEdit, Meng et al. 2022)."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
import torch
from diffusers.utils.torch_utils import randn_tensor

from pipeline.generators.source_pictures import SourcePictures
from pipeline.generators.text_to_image.stable_diffusion import StableDiffusion


class FromPictures(StableDiffusion):
    """A model whose components are loaded, ready to draw from the rows' sources, each with a strength of its own."""

    def __init__(
        self,
        found: Mapping[str, Any],
        draw: Mapping[str, Any],
        device: torch.device,
        feedback: Any,
        sources: SourcePictures,
    ):
        super().__init__(found, draw, device, feedback)
        self._sources = sources

    def draw(self, rows: pd.DataFrame, generators: list[torch.Generator]) -> torch.Tensor:
        """Pictures in [0, 1] before clamping, [B, 3, H, W]; each has its own generator, which draws on the CPU.

        As in diffusers, int(steps * strength) steps are done, and a row's generator first draws the latents of its source.
        """
        squares = torch.from_numpy(self._sources.squares(rows["source"], self.side)).permute(0, 3, 1, 2)
        pixels = (squares.to(self.device) / 127.5 - 1).to(self.vae.dtype)
        latents = self.vae.encode(pixels).latent_dist.sample(generators) * self.vae.config.scaling_factor
        noise = randn_tensor(latents.shape, generator=generators, device=self.device, dtype=latents.dtype)
        groups = self.groups([self.steps - int(self.steps * strength) for strength in rows["strength"]])
        for first, own, scheduler in groups:
            times = scheduler.timesteps[first].repeat(len(own))
            latents[own] = scheduler.add_noise(latents[own], noise[own], times)
        return self.denoised(latents, groups, rows, self.conditions(rows, generators), generators)
