"""Draw pictures with a pretrained model of diffusers: what its samplers have in common."""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Protocol

import numpy as np
import pandas as pd
import torch
from diffusers import (
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
from pipeline.foundations.components import components
from pipeline.foundations.fit import misuse, pipeline_class
from pipeline.foundations.table import folder_of
from pipeline.generators.drawn import FLAGGED
from pipeline.generators.safety_checker import SafetyChecker
from pipeline.guidance import batch_size, feedback_of
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


class Model(Protocol):
    """A model that is loaded."""

    def draw(self, rows: pd.DataFrame, generators: list[torch.Generator]) -> torch.Tensor:
        """Pictures in [0, 1] before clamping, [B, 3, H, W], each with a generator of its own, which draws on the CPU."""

    def cut(self, prompts: list[str]) -> int:
        """Number of prompts that are longer than the model reads."""


class PretrainedSampler:
    """Draws the pictures of a plan's rows with the model that a subclass makes of its components.

    inputs: `foundation`, the model's table. settings: `draw`, `batch_size`, and `generator` (precision, safety_checker).
    Raises InputError if the model is damaged or of another class, or the scheduler does not fit it.
    """

    unread: ClassVar[tuple[str, ...]] = ()
    """Components of the model that are not loaded, because drawing does not use them."""

    def __init__(self, inputs: Inputs, settings: Mapping[str, Any], device: torch.device):
        path = only(inputs, "foundation")
        self.folder, self.device = folder_of(path), device
        self.inputs, self.how = inputs, settings["draw"]
        self._about, self._batch_size = made.about(path), batch_size(settings, device)
        self.feedback = feedback_of(inputs, settings, device)
        self._asks_for_safety = settings["generator"].get("safety_checker", False)
        kind, led = settings["generator"]["kind"], self.feedback is not None
        if complaint := misuse(str(self.folder), pipeline_class(self.folder), kind, led):
            raise InputError(complaint)
        self._dtype = getattr(torch, settings["generator"]["precision"])
        self._model, self._checker = self._loaded(self._dtype)
        self._in_float32: tuple[Model, Any] | None = None

    def model(self, found: dict[str, Any]) -> Model:
        """The model of these components, on `self.device`."""
        raise NotImplementedError

    def draw(self, rows: pd.DataFrame) -> Iterator[np.ndarray]:
        """Draw pictures for rows of the plan, in order, as batches float32 [B, H, W, 3].

        Values are in 0..255. All are NaN if the network's are not finite or, in half precision, alike, and FLAGGED if the safety
        checker flags the picture. A picture depends only on its row: every batch has the same shape, the last one padded.
        """
        prompts = rows["prompt"].tolist() if "prompt" in rows else []
        if prompts and (cut := self._model.cut(prompts)):  # a shard may have no pictures
            print(
                f"{cut} of {len(prompts)} prompts are longer than the text encoder reads; their ends are cut",
                flush=True,
            )
        return self._drawn(rows, self._model, self._checker, self._dtype)

    def redraw(self, rows: pd.DataFrame) -> Iterator[np.ndarray]:
        """`draw`, with all operations in float32, and without feedback."""
        if self._in_float32 is None:
            self.feedback = None
            self._in_float32 = self._loaded(torch.float32)
        return self._drawn(rows, *self._in_float32, torch.float32)

    @torch.no_grad()  # feedback could not take gradients through tensors of inference_mode
    def _drawn(self, rows: pd.DataFrame, model: Model, checker: Any, dtype: torch.dtype) -> Iterator[np.ndarray]:
        for start in range(0, len(rows), self._batch_size):
            count = min(self._batch_size, len(rows) - start)
            batch = rows.iloc[start + np.minimum(np.arange(self._batch_size), count - 1)]
            generators = [torch.Generator().manual_seed(seed) for seed in batch["seed"].tolist()]
            pictures = model.draw(batch, generators).float()
            broken = ~pictures.isfinite().all(dim=(1, 2, 3))
            pictures = pictures.clamp(0, 1)
            if dtype != torch.float32:  # an overflow inside a pipeline comes out as black
                broken |= pictures.amax(dim=(1, 2, 3)) == pictures.amin(dim=(1, 2, 3))
            levels = (pictures * 255).permute(0, 2, 3, 1).cpu().numpy()
            if checker:
                levels[checker.flags(levels)] = FLAGGED
            levels[broken.cpu().numpy()] = np.nan
            yield levels[:count]

    def _loaded(self, dtype: torch.dtype) -> tuple[Model, Any]:
        """The model and, if it is asked for, its safety checker."""
        variant, allow_pickle = self._about["variant"], self._about["allow_pickle"]
        found = components(self.folder, dtype, variant, allow_pickle, self._asks_for_safety, self.unread)
        if (name := self.how.get("scheduler", "saved")) != "saved":
            found["scheduler"] = _scheduler(name, found["scheduler"])
        checker = SafetyChecker(found, self.device) if self._asks_for_safety else None
        return self.model(found), checker


def _scheduler(name: str, saved: Any) -> Any:
    """Another scheduler with the noise schedule of the model's own."""
    if not hasattr(saved, "alphas_cumprod"):
        raise InputError(f"scheduler is {name}, which does not fit a model with a {type(saved).__name__}; write saved")
    return SCHEDULERS[name].from_config(saved.config)
