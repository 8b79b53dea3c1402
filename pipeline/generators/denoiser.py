"""A Stable Diffusion model that something is learned with: it predicts the noise on the latents of real pictures."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from diffusers import DDPMScheduler

from pipeline.artifacts import made
from pipeline.errors import InputError
from pipeline.foundations.components import components
from pipeline.foundations.fit import misuse, pipeline_class
from pipeline.foundations.table import folder_of
from pipeline.generators.adapting import Job
from pipeline.generators.latents import moments, sampled
from pipeline.generators.step_draws import Draws, Shape
from pipeline.generators.text_to_image.stable_diffusion import encoded


class Denoiser:
    """The model of a job, all of it frozen, and the latents of the job's pictures. settings: kind and learning_precision.

    Raises InputError if the model is damaged or of another class, or predicts neither noise nor velocity.
    """

    def __init__(self, settings: Mapping[str, Any], job: Job):
        folder, about = folder_of(job.foundation), made.about(job.foundation)
        if complaint := misuse(str(folder), pipeline_class(folder), settings["kind"]):
            raise InputError(complaint)
        self.dtype = getattr(torch, settings["learning_precision"])
        found = components(folder, self.dtype, about["variant"], about["allow_pickle"])
        self._job, self._vae = job, found["vae"]
        self.tokenizer = found["tokenizer"]
        self.unet, self.text_encoder = (found[name].to(job.device) for name in ("unet", "text_encoder"))
        self._noising = DDPMScheduler.from_config(found["scheduler"].config)
        self._noising.alphas_cumprod = self._noising.alphas_cumprod.to(job.device)
        self._predicts = self._noising.config.prediction_type
        if self._predicts not in ("epsilon", "v_prediction"):
            raise InputError(
                f"{folder / 'scheduler'} predicts a {self._predicts}, from which nothing is learned here; name another model"
            )

    def encode(self) -> None:
        """Encode the job's pictures, each and its mirror image once; the VAE is not needed after that."""
        side = self.unet.config.sample_size * 2 ** (len(self._vae.config.block_out_channels) - 1)
        self._vae.to(self._job.device)
        self._moments = moments(self._vae, self._job.real, self._job.folder, side, self._job.pieces)
        self._scale = self._vae.config.scaling_factor
        del self._vae

    def encoded(self, texts: Sequence[str]) -> torch.Tensor:
        """Hidden states of the texts, [N, T, W]."""
        return encoded(self.tokenizer, self.text_encoder, texts)

    def shape(self, texts: int) -> Shape:
        """What a step's draws are drawn from, with so many texts."""
        latents = self._moments.shape[2] // 2, *self._moments.shape[3:]
        return Shape(texts, len(self._noising.alphas_cumprod), latents)

    def losses(self, draws: Draws, rows: torch.Tensor, texts: torch.Tensor) -> torch.Tensor:
        """The squared error of the predicted noise, or velocity, of each picture, float32 [B].

        rows: positions of the pictures among the job's, int64 [B]. texts: hidden states, float [B, T, W].
        """
        found, device = self._moments[rows, draws.mirrored], texts.device
        of_latents, noise, times = (part.to(device) for part in (draws.of_latents, draws.noise, draws.times))
        clean = sampled(found.to(device), of_latents) * self._scale
        noisy = self._noising.add_noise(clean, noise, times)
        wanted = noise if self._predicts == "epsilon" else self._noising.get_velocity(clean, noise, times)
        predicted = self.unet(noisy.to(self.dtype), times, encoder_hidden_states=texts).sample.float()
        return (predicted - wanted).square().flatten(1).mean(1)
