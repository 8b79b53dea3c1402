"""Draw pictures from prompts and real pictures: Stable Diffusion in our own loop, any other model by diffusers' pipeline."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
import torch
from diffusers import AutoPipelineForImage2Image
from PIL import Image

from pipeline.errors import InputError
from pipeline.foundations.fit import STABLE_DIFFUSION, pipeline_class
from pipeline.generators.any_pipeline import AnyPipeline, opened
from pipeline.generators.image_to_image.stable_diffusion import FromPictures
from pipeline.generators.pretrained import Model, PretrainedSampler
from pipeline.generators.source_pictures import SourcePictures
from pipeline.jobs.inputs import only


class Sampler(PretrainedSampler):
    """A model that draws from the rows' prompts and sources (SDEdit, Meng et al. 2022). inputs: also `manifest`, the subset's."""

    def model(self, found: dict[str, Any]) -> Model:
        sources = SourcePictures(only(self.inputs, "manifest"))
        if pipeline_class(self.folder) in STABLE_DIFFUSION:
            return FromPictures(found, self.how, self.device, self.feedback, sources)
        pipeline = opened(AutoPipelineForImage2Image, self.folder, found, self.device, "pictures")
        return _AnyPipeline(pipeline, self.how, sources)


class _AnyPipeline(AnyPipeline):
    """A pipeline that takes one strength a call, so that pictures with strengths of their own are drawn one by one."""

    def __init__(self, pipeline: Any, draw: Mapping[str, Any], sources: SourcePictures):
        super().__init__(pipeline, draw)
        self._sources, self._one_by_one = sources, not isinstance(draw["strength"], float)
        self._side = draw["side"] or _side(pipeline)
        self.size = {}  # the pictures have it

    def draw(self, rows: pd.DataFrame, generators: list[torch.Generator]) -> torch.Tensor:
        """Pictures in [0, 1], [B, 3, H, W]."""
        size = 1 if self._one_by_one else len(rows)
        pictures = []
        for start in range(0, len(rows), size):
            few, own = rows.iloc[start : start + size], generators[start : start + size]
            images = [Image.fromarray(one) for one in self._sources.squares(few["source"], self._side)]
            pictures.append(super().draw(few, own, image=images, strength=few["strength"].iloc[0]))
        return torch.cat(pictures)


def _side(pipeline: Any) -> int:
    """Side of the pictures that the model was trained for, in pixels."""
    network = getattr(pipeline, "unet", None) or getattr(pipeline, "transformer", None)
    latents = getattr(getattr(network, "config", None), "sample_size", None)
    if not isinstance(latents, int) or not hasattr(pipeline, "vae_scale_factor"):
        raise InputError(
            f"a {type(pipeline).__name__} does not say how large its pictures are; set side in the pool's draw"
        )
    return latents * pipeline.vae_scale_factor
