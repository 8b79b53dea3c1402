"""Draw pictures from a trained diffusion model: ancestral DDPM and DDIM with classifier-free guidance."""

import functools
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from diffusers import DDIMParallelScheduler, DDPMParallelScheduler, UNet2DModel
from safetensors import SafetensorError

from pipeline.errors import InputError
from pipeline.generators.cbdm.unet import layout, no_label
from pipeline.guidance import batch_size, feedback_of
from pipeline.guidance.clean import predicted_clean
from pipeline.jobs.inputs import Inputs, only

NOISE_STEPS = 50
"""Number of steps whose noise is drawn at once for a picture; the picture of a seed depends on it."""


class Sampler:
    """A trained generator that draws the pictures of a plan's rows.

    inputs: `generator`, the table in the folder of `unet` and `scheduler`. settings: `draw` (kind, steps, guidance,
    clip_denoised) and `batch_size`. Raises InputError if the generator is missing or damaged.
    """

    def __init__(self, inputs: Inputs, settings: Mapping[str, Any], device: torch.device):
        folder, draw = only(inputs, "generator").parent, settings["draw"]
        kind = {"ddpm": DDPMParallelScheduler, "ddim": DDIMParallelScheduler}[draw["kind"]]
        # trailing: the first step is the noisiest; if no step is skipped, this changes nothing
        how = {"timestep_spacing": "trailing", "clip_sample": draw["clip_denoised"]}
        with _reading(folder / "unet"):
            unet = UNet2DModel.from_pretrained(folder / "unet", low_cpu_mem_usage=False, local_files_only=True)
        with _reading(folder / "scheduler"):
            # not from_pretrained, which takes a damaged file for a name on the hub
            saved = json.loads((folder / "scheduler" / kind.config_name).read_text(encoding="utf-8"))
            self._scheduler = kind.from_config({**saved, **how})
        self._unet = unet.to(device, memory_format=layout(device)).eval().requires_grad_(False)
        self._scheduler.set_timesteps(draw["steps"])
        self._ancestral = draw["kind"] == "ddpm"
        self._guidance, self._batch_size, self._device = draw["guidance"], batch_size(settings, device), device
        self._feedback = feedback_of(inputs, settings, device)

    def redraw(self, rows: pd.DataFrame) -> Iterator[np.ndarray]:
        """`draw`, without feedback."""
        self._feedback, kept = None, self._feedback
        yield from self.draw(rows)
        self._feedback = kept

    @torch.no_grad()
    def draw(self, rows: pd.DataFrame) -> Iterator[np.ndarray]:
        """Draw pictures for rows of the plan, in order, as batches float32 [B, H, W, 3], or [B, H, W] for grey ones.

        Values are in 0..255, or NaN if the network's are not finite. A picture depends only on the class and seed of its
        row: every batch has the same shape, the last one padded.
        """
        labels, seeds = rows["class"].to_numpy("int64"), rows["seed"].to_numpy()
        for start in range(0, len(labels), self._batch_size):
            batch = slice(start, start + self._batch_size)
            count = len(labels[batch])
            padding = self._batch_size - count
            padded_seeds = np.pad(seeds[batch], (0, padding), mode="edge")
            padded_labels = torch.from_numpy(np.pad(labels[batch], (0, padding), mode="edge")).to(self._device)
            pictures = self._batch(padded_labels, padded_seeds)[:count]
            levels = ((pictures.clamp(-1, 1) + 1) * 127.5).masked_fill(~pictures.isfinite(), torch.nan)
            yield (levels[:, 0] if levels.shape[1] == 1 else levels.permute(0, 2, 3, 1)).cpu().numpy()

    def _batch(self, labels: torch.Tensor, seeds: np.ndarray) -> torch.Tensor:
        """Pictures in about [-1, 1], float32 [B, C, H, W]."""
        unet, scheduler = self._unet, self._scheduler
        noise = _Noise(seeds, (unet.config.in_channels, unet.config.sample_size, unet.config.sample_size), self._device)
        pictures = noise.next()
        seeds = torch.from_numpy(seeds).to(self._device)
        for step, time in enumerate(scheduler.timesteps.tolist()):
            times = torch.full((len(pictures),), time, device=self._device)
            if self._feedback and self._feedback.is_due(step):
                pictures, predicted = self._led(pictures, times, labels, seeds)
            elif self._guidance:
                both = (torch.cat([one, one]) for one in (pictures, times))
                unlabelled = torch.full_like(labels, no_label(unet))
                predicted = self._with_guidance(*self._predicted(*both, torch.cat([labels, unlabelled])).chunk(2))
            else:
                predicted = self._predicted(pictures, times, labels)
            pictures = scheduler.batch_step_no_noise(predicted, times, pictures)
            if self._ancestral and scheduler.previous_timestep(time) >= 0:
                pictures = pictures + scheduler._get_variance(time).sqrt().to(self._device) * noise.next()
        return pictures

    def _predicted(self, pictures: torch.Tensor, times: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        return self._unet(pictures.contiguous(memory_format=layout(self._device)), times, labels).sample

    def _with_guidance(self, conditional: torch.Tensor, unconditional: torch.Tensor) -> torch.Tensor:
        return conditional + self._guidance * (conditional - unconditional)

    def _led(
        self, pictures: torch.Tensor, times: torch.Tensor, labels: torch.Tensor, seeds: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The noisy pictures after a step of the feedback, and the prediction for those before it."""
        alpha_bar = self._scheduler.alphas_cumprod[int(times[0])].item()
        moved, conditional = self._feedback.guided(
            pictures,
            labels,
            seeds,
            lambda noisy: self._predicted(noisy, times, labels),
            functools.partial(predicted_clean, self._scheduler.config.prediction_type, alpha_bar=alpha_bar),
            (1 - alpha_bar) ** 0.5,
            lambda clean: clean,
        )
        if not self._guidance:
            return moved, conditional
        unlabelled = torch.full_like(labels, no_label(self._unet))
        return moved, self._with_guidance(conditional, self._predicted(pictures, times, unlabelled))


@contextmanager
def _reading(folder: Path) -> Iterator[None]:
    """Replace diffusers' many errors about a damaged folder by an InputError."""
    try:
        yield
    except (OSError, ValueError, TypeError, KeyError, AttributeError, NotImplementedError, SafetensorError) as error:
        why = " ".join(str(error).split())
        raise InputError(f"{folder} is missing or damaged ({why}); say `make repair`") from None


class _Noise:
    """Standard normal noise, one random generator per picture, drawn on the CPU: a seed means the same on any device."""

    def __init__(self, seeds: np.ndarray, shape: tuple[int, ...], device: torch.device):
        self._generators = [np.random.Generator(np.random.Philox(key=int(seed))) for seed in seeds]
        self._shape, self._device = shape, device
        self._block = self._draw(1)  # DDIM needs no more

    def next(self) -> torch.Tensor:
        """The next step's noise for every picture, float32 [B, C, H, W]."""
        if not len(self._block):
            self._block = self._draw(NOISE_STEPS)
        noise, self._block = self._block[0], self._block[1:]
        return noise

    def _draw(self, steps: int) -> torch.Tensor:
        shape = (steps, *self._shape)
        drawn = [generator.standard_normal(shape, np.float32) for generator in self._generators]
        return torch.from_numpy(np.stack(drawn, axis=1)).to(self._device)
