"""Drawing pictures from a trained diffusion model: ancestral DDPM and DDIM with classifier-free guidance."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import DDIMParallelScheduler, DDPMParallelScheduler, UNet2DModel
from safetensors import SafetensorError

from pipeline.errors import InputError
from pipeline.generators.cbdm.unet import layout, no_label

NOISE_STEPS = 50
"""Steps whose noise is drawn at once for a picture: part of what a seed means."""


class Sampler:
    """A trained generator, ready to execute rows of a plan."""

    def __init__(self, folder: Path, settings: Mapping[str, Any], device: torch.device):
        try:
            unet = UNet2DModel.from_pretrained(folder / "unet", low_cpu_mem_usage=False, local_files_only=True)
        except (OSError, ValueError, SafetensorError) as error:
            raise InputError(f"{folder / 'unet'} is missing or damaged ({error}); run snakemake again") from None
        self._unet = unet.to(device, memory_format=layout(device)).eval()
        kind = {"ddpm": DDPMParallelScheduler, "ddim": DDIMParallelScheduler}[settings["sampler"]]
        # trailing: the first step is the noisiest; for all steps it makes no difference
        self._scheduler = kind.from_pretrained(
            folder / "scheduler", timestep_spacing="trailing", clip_sample=settings["clip_denoised"]
        )
        self._scheduler.set_timesteps(settings["steps"])
        self._ancestral = settings["sampler"] == "ddpm"
        self._guidance, self._batch_size, self._device = settings["guidance"], settings["batch_size"], device

    @torch.inference_mode()
    def draw(self, labels: np.ndarray, seeds: np.ndarray) -> Iterator[np.ndarray]:
        """Pictures for int64 [N] labels and seeds, in order: uint8 [B, H, W, 3] a batch, [B, H, W] for grey ones.

        A picture depends on its label and seed alone: every batch has the same shape, the last one padded.
        """
        for start in range(0, len(labels), self._batch_size):
            rows = slice(start, start + self._batch_size)
            count = len(labels[rows])
            padding = self._batch_size - count
            padded_seeds = np.pad(seeds[rows], (0, padding), mode="edge")
            padded_labels = torch.from_numpy(np.pad(labels[rows], (0, padding), mode="edge")).to(self._device)
            pictures = self._batch(padded_labels, padded_seeds)[:count]
            pixels = ((pictures.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
            yield (pixels[:, 0] if pixels.shape[1] == 1 else pixels.permute(0, 2, 3, 1)).cpu().numpy()

    def _batch(self, labels: torch.Tensor, seeds: np.ndarray) -> torch.Tensor:
        """Pictures in about [-1, 1], float32 [B, C, H, W]."""
        unet, scheduler = self._unet, self._scheduler
        noise = _Noise(seeds, (unet.config.in_channels, unet.config.sample_size, unet.config.sample_size), self._device)
        pictures = noise.next()
        labels = torch.cat([labels, torch.full_like(labels, no_label(unet))]) if self._guidance else labels
        for time in scheduler.timesteps.tolist():
            doubled = torch.cat([pictures, pictures]) if self._guidance else pictures
            times = torch.full((len(doubled),), time, device=self._device)
            predicted = unet(doubled.contiguous(memory_format=layout(self._device)), times, labels).sample
            if self._guidance:
                conditional, unconditional = predicted.chunk(2)
                predicted = conditional + self._guidance * (conditional - unconditional)
            pictures = scheduler.batch_step_no_noise(predicted, times[: len(pictures)], pictures)
            if self._ancestral and scheduler.previous_timestep(time) >= 0:
                pictures = pictures + scheduler._get_variance(time).sqrt().to(self._device) * noise.next()
        return pictures


class _Noise:
    """Standard normal noise, one generator a picture, drawn on the CPU so that a seed means the same on any device."""

    def __init__(self, seeds: np.ndarray, shape: tuple[int, ...], device: torch.device):
        self._generators = [np.random.Generator(np.random.Philox(key=int(seed))) for seed in seeds]
        self._shape, self._device = shape, device
        self._block = self._draw(1)  # what DDIM needs is all there is

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
