"""Draw variations of real pictures, by diffusers' pipeline (Image Variation, a rival in Fill-Up)."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch
from diffusers import StableDiffusionImageVariationPipeline
from torch.nn import functional

from pipeline.generators.any_pipeline import AnyPipeline, quiet
from pipeline.generators.image_encoder import OneByOne
from pipeline.generators.pretrained import Model, PretrainedSampler
from pipeline.generators.source_pictures import SourcePictures
from pipeline.jobs.inputs import only


class Sampler(PretrainedSampler):
    """A model that draws from the CLIP embeddings of the rows' sources. inputs: also `manifest`, the subset's."""

    def model(self, found: dict[str, Any]) -> Model:
        found["image_encoder"] = OneByOne(found["image_encoder"])
        pipeline = StableDiffusionImageVariationPipeline(safety_checker=None, requires_safety_checker=False, **found)
        return _Variations(quiet(pipeline, self.device), self.how, SourcePictures(only(self.inputs, "manifest")))


class _Variations(AnyPipeline):
    def __init__(self, pipeline: Any, draw: Mapping[str, Any], sources: SourcePictures):
        super().__init__(pipeline, draw)
        self._sources = sources

    def draw(self, rows: pd.DataFrame, generators: list[torch.Generator]) -> torch.Tensor:
        """Pictures in [0, 1], [B, 3, H, W]."""
        images = self._sources.images(rows["source"])
        seen = torch.cat([self._prepared(np.asarray(one)) for one in images])
        return super().draw(rows[["seed", "source"]], generators, image=seen)  # it reads no prompt

    def _prepared(self, picture: np.ndarray) -> torch.Tensor:
        """A picture as the model's authors prepare it, [1, 3, S, S]: squeezed into a square, bicubic without anti-aliasing.

        The pipeline's own way smooths a picture first. The model was not trained on smoothed ones.
        """
        extractor, side = self.pipeline.feature_extractor, self.pipeline.image_encoder.config.image_size
        pixels = torch.tensor(picture).permute(2, 0, 1)[None] / 255
        pixels = functional.interpolate(pixels, (side, side), mode="bicubic", antialias=False)
        mean, deviation = (torch.tensor(each)[:, None, None] for each in (extractor.image_mean, extractor.image_std))
        return (pixels - mean) / deviation
