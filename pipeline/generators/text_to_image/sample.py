"""Draw pictures from a text-to-image model: the Stable Diffusion family in our own loop, any other by diffusers' pipeline."""

from typing import Any

from diffusers import AutoPipelineForText2Image

from pipeline.foundations.fit import STABLE_DIFFUSION, pipeline_class
from pipeline.generators.any_pipeline import AnyPipeline, opened
from pipeline.generators.pretrained import Model, PretrainedSampler
from pipeline.generators.text_to_image.stable_diffusion import StableDiffusion


class Sampler(PretrainedSampler):
    """A text-to-image model that draws from the rows' prompts."""

    def model(self, found: dict[str, Any]) -> Model:
        if pipeline_class(self.folder) in STABLE_DIFFUSION:
            return StableDiffusion(found, self.how, self.device, self.feedback)
        return AnyPipeline(opened(AutoPipelineForText2Image, self.folder, found, self.device, "texts"), self.how)
