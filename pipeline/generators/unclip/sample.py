"""Draw pictures from the CLIP embeddings of real ones, and texts, by diffusers' pipeline (Reimagine, a rival in Fill-Up)."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
import torch
from diffusers import StableUnCLIPImg2ImgPipeline

from pipeline.generators.any_pipeline import AnyPipeline, quiet
from pipeline.generators.image_encoder import OneByOne
from pipeline.generators.pretrained import Model, PretrainedSampler
from pipeline.generators.source_pictures import SourcePictures
from pipeline.jobs.inputs import only


class Sampler(PretrainedSampler):
    """A model that draws from the rows' sources, and their prompts if there are any. inputs: also `manifest`, the subset's."""

    def model(self, found: dict[str, Any]) -> Model:
        found["image_encoder"] = OneByOne(found["image_encoder"])
        pipeline = quiet(StableUnCLIPImg2ImgPipeline(**found), self.device)
        return _Unclip(pipeline, self.how, SourcePictures(only(self.inputs, "manifest")))


class _Unclip(AnyPipeline):
    def __init__(self, pipeline: Any, draw: Mapping[str, Any], sources: SourcePictures):
        super().__init__(pipeline, draw)
        self._sources, self._noise_level = sources, draw["noise_level"]

    def draw(self, rows: pd.DataFrame, generators: list[torch.Generator]) -> torch.Tensor:
        """Pictures in [0, 1], [B, 3, H, W]. A row's generator draws the noise on its embedding, then that of the latents."""
        images = self._sources.images(rows["source"])
        return super().draw(rows, generators, image=images, noise_level=self._noise_level)
