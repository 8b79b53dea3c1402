"""Draw pictures from a text-to-image model: the Stable Diffusion family in our own loop, any other by diffusers' pipeline."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch
from diffusers import (
    AutoPipelineForText2Image,
    DDIMScheduler,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    LCMScheduler,
    PNDMScheduler,
    UniPCMultistepScheduler,
)

from pipeline.artifacts import made
from pipeline.errors import InputError
from pipeline.foundations.components import STABLE_DIFFUSION, components, pipeline_class
from pipeline.foundations.table import folder_of
from pipeline.generators.text_to_image.batches import in_batches
from pipeline.generators.text_to_image.stable_diffusion import StableDiffusion
from pipeline.jobs.inputs import Inputs, only

SCHEDULERS = {
    "ddim": DDIMScheduler,
    "ddpm": DDPMScheduler,
    "dpm_solver": DPMSolverMultistepScheduler,
    "euler": EulerDiscreteScheduler,
    "euler_ancestral": EulerAncestralDiscreteScheduler,
    "lcm": LCMScheduler,
    "pndm": PNDMScheduler,
    "unipc": UniPCMultistepScheduler,
}


class Sampler:
    """A text-to-image model that draws the pictures of a plan's rows.

    inputs: `foundation`, the model's table. settings: `draw` (scheduler, steps, guidance_scale, negative_prompt, side),
    `batch_size`, and `generator` (precision). Raises InputError if the model is damaged or the scheduler does not fit it.
    """

    def __init__(self, inputs: Inputs, settings: Mapping[str, Any], device: torch.device):
        path = only(inputs, "foundation")
        folder, about = folder_of(path), made.about(path)
        self._draw, self._batch_size = settings["draw"], settings["batch_size"]
        dtype = getattr(torch, settings["generator"]["precision"])
        found = components(folder, dtype, about["variant"], about["allow_pickle"])
        if (chosen := self._draw["scheduler"]) != "saved":
            found["scheduler"] = _scheduler(chosen, found["scheduler"])
        self._model = (
            StableDiffusion(found, self._draw, device)
            if pipeline_class(folder) in STABLE_DIFFUSION
            else _AnyPipeline(folder, found, self._draw, device)
        )

    def draw(self, rows: pd.DataFrame) -> Iterator[np.ndarray]:
        """Draw pictures for rows of the plan; see `in_batches`."""
        return in_batches(self._model, rows, self._batch_size)


class _AnyPipeline:
    """Any text-to-image pipeline of diffusers."""

    def __init__(self, folder, found: dict[str, Any], draw: Mapping[str, Any], device: torch.device):
        try:
            pipeline = AutoPipelineForText2Image.from_pretrained(folder, local_files_only=True, **found)
        except (ValueError, TypeError) as error:
            raise InputError(f"{folder} cannot draw from texts: {' '.join(str(error).split())}") from None
        pipeline.set_progress_bar_config(disable=True)
        self._pipeline = pipeline.to(device)
        self._how = {
            "num_inference_steps": draw["steps"],
            "guidance_scale": draw["guidance_scale"],
            "height": draw["side"],
            "width": draw["side"],
            "output_type": "pt",
        }
        self._negative = draw["negative_prompt"]

    def cut(self, prompts: list[str]) -> int:
        """Unknown: each pipeline has a limit of its own, and warns by itself."""
        return 0

    def draw(self, prompts: list[str], generators: list[torch.Generator]) -> torch.Tensor:
        """Pictures in [0, 1], [B, 3, H, W]."""
        negative = {"negative_prompt": [self._negative] * len(prompts)} if self._negative else {}
        return self._pipeline(prompt=prompts, generator=generators, **self._how, **negative).images


def _scheduler(name: str, saved: Any) -> Any:
    """Another scheduler with the noise schedule of the model's own."""
    if not hasattr(saved, "alphas_cumprod"):
        raise InputError(f"scheduler is {name}, which does not fit a model with a {type(saved).__name__}; write saved")
    return SCHEDULERS[name].from_config(saved.config)
