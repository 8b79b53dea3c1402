"""Draw pictures from the CLIP embeddings of real ones, and texts, by Stable unCLIP (Reimagine, a rival in Fill-Up; LDM-FG)."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch
from diffusers import StableUnCLIPImg2ImgPipeline
from diffusers.utils.torch_utils import randn_tensor

from pipeline.generators.pretrained import Model, PretrainedSampler
from pipeline.generators.source_embeddings import SourceEmbeddings
from pipeline.generators.text_to_image.stable_diffusion import Conditions, StableDiffusion
from pipeline.jobs.inputs import only


class Sampler(PretrainedSampler):
    """A model that draws from the rows' sources, and their prompts if there are any.

    inputs: also `manifest`, the subset's, and the `embeddings` of its pictures.
    """

    unread = ("image_encoder",)

    def model(self, found: dict[str, Any]) -> Model:
        sources = SourceEmbeddings(only(self.inputs, "manifest"), only(self.inputs, "embeddings"))
        return Unclip(found | {"image_encoder": None}, self.how, self.device, self.feedback, sources)


class Unclip(StableDiffusion):
    """A model whose components are loaded, ready to draw. draw: also noise_level, and embedding_dropout."""

    def __init__(
        self,
        found: Mapping[str, Any],
        draw: Mapping[str, Any],
        device: torch.device,
        feedback: Any,
        sources: SourceEmbeddings,
    ):
        super().__init__(found, draw, device, feedback)
        self._sources, self._noise_level, self._dropout = sources, draw["noise_level"], draw["embedding_dropout"]
        self._pipeline = StableUnCLIPImg2ImgPipeline(**found).to(device)

    def conditions(self, rows: pd.DataFrame, generators: list[torch.Generator]) -> Conditions:
        """Hidden states of the texts, and the pictures' embeddings with the noise level's; both are 0 in the unconditional half.

        A row's generator draws the noise on its embedding.
        """
        conditions = super().conditions(rows if "prompt" in rows else rows.assign(prompt=""), generators)
        embeddings = self._sources.of(rows["source"]).to(self.device, self._unet.dtype)
        embeddings = self._dropped(embeddings, rows)
        noise = randn_tensor(embeddings.shape, generator=generators, device=self.device, dtype=embeddings.dtype)
        noised = self._pipeline.noise_image_embeddings(embeddings, self._noise_level, noise)
        nothing = [torch.zeros_like(noised)] if self.guided else []
        return conditions | {"class_labels": torch.cat([*nothing, noised])}

    def _dropped(self, embeddings: torch.Tensor, rows: pd.DataFrame) -> torch.Tensor:
        """The embeddings with a random share of each one's numbers 0, and the others larger by as much, as the row's seed says (LDM-FG)."""
        if self._dropout in (0, 1):
            return embeddings * (1 - self._dropout)
        width = embeddings.shape[1]
        uniform = np.stack([np.random.default_rng([seed, 1]).random(width, np.float32) for seed in rows["seed"]])
        kept = torch.from_numpy(uniform >= self._dropout).to(embeddings.device)
        return embeddings * kept / (1 - self._dropout)
