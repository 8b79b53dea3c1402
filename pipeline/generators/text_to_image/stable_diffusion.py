"""Stable Diffusion: text encoder, U-Net in the latent space of a VAE, classifier-free guidance (Rombach et al. 2022)."""

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from diffusers.utils.torch_utils import randn_tensor


class StableDiffusion:
    """A model whose components are loaded, ready to draw.

    draw: steps, guidance_scale, negative_prompt, and side in pixels, or None for the model's own.
    """

    def __init__(self, found: Mapping[str, Any], draw: Mapping[str, Any], device: torch.device):
        self._tokenizer, self._scheduler = found["tokenizer"], found["scheduler"]
        self._text_encoder, self._unet, self._vae = (found[name].to(device) for name in ("text_encoder", "unet", "vae"))
        self._steps, self._scale, self._device = draw["steps"], draw["guidance_scale"], device
        self._negative = draw["negative_prompt"]
        halvings = 2 ** (len(self._vae.config.block_out_channels) - 1)
        side = draw["side"] // halvings if draw["side"] else self._unet.config.sample_size
        self._shape = (self._unet.config.in_channels, side, side)

    def cut(self, prompts: list[str]) -> int:
        """Number of prompts with more tokens than the text encoder reads."""
        return sum(len(ids) > self._tokenizer.model_max_length for ids in self._tokenizer(prompts).input_ids)

    def draw(self, prompts: list[str], generators: list[torch.Generator]) -> torch.Tensor:
        """Pictures in [0, 1] before clamping, [B, 3, H, W]; each has its own generator, which draws on the CPU."""
        guided = self._scale > 1  # without guidance, the unconditional prediction is not needed
        texts = self._encoded(prompts)
        if guided:
            texts = torch.cat([self._encoded([self._negative] * len(prompts)), texts])
        scheduler = self._scheduler
        scheduler.set_timesteps(self._steps, device=self._device)
        latents = randn_tensor(
            (len(prompts), *self._shape), generator=generators, device=self._device, dtype=texts.dtype
        )
        latents = latents * scheduler.init_noise_sigma
        noisy = {"generator": generators} if _draws_noise(scheduler) else {}
        for time in scheduler.timesteps:
            both = scheduler.scale_model_input(torch.cat([latents] * 2) if guided else latents, time)
            predicted = self._unet(both, time, encoder_hidden_states=texts, return_dict=False)[0]
            if guided:
                unconditional, conditional = predicted.chunk(2)
                predicted = unconditional + self._scale * (conditional - unconditional)
            latents = scheduler.step(predicted, time, latents, **noisy).prev_sample
        pictures = self._vae.decode(latents / self._vae.config.scaling_factor, return_dict=False)[0]
        return pictures / 2 + 0.5

    def _encoded(self, prompts: list[str]) -> torch.Tensor:
        """Hidden states of the texts, [B, tokens, width]."""
        tokens = self._tokenizer(
            prompts,
            padding="max_length",
            max_length=self._tokenizer.model_max_length,
            truncation=True,
            return_tensors="pt",
        )
        masked = getattr(self._text_encoder.config, "use_attention_mask", False)
        mask = tokens.attention_mask.to(self._device) if masked else None
        return self._text_encoder(tokens.input_ids.to(self._device), attention_mask=mask)[0]


def _draws_noise(scheduler: Any) -> bool:
    """Whether the scheduler's step takes random generators."""
    return "generator" in inspect.signature(scheduler.step).parameters
