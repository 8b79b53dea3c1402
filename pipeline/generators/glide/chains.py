"""GLIDE's two chains (Nichol et al. 2022): pictures of 64 px from a text, and of 256 px from these and the text."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from diffusers.utils.torch_utils import randn_tensor
from torch.nn import functional

FAST27 = (
    *(0, 22, 44, 66, 88, 111, 133, 155, 177, 199),
    *(200, 222, 244, 266, 288, 311, 333, 355, 377, 399),
    *(400, 500, 599, 600, 799, 800, 997),
)
"""The upsampler's timesteps of 1000, as its authors chose them."""
TEMPERATURE = 0.997
"""Scale of the upsampler's first noise, likewise."""


class Network(NamedTuple):
    """A U-Net with its text encoder, tokenizer and noise schedule."""

    unet: Any
    text_encoder: Any
    tokenizer: Any
    scheduler: Any

    @property
    def context(self) -> int:
        """The longest text that is read, in tokens."""
        return self.text_encoder.config.context

    def lengths(self, prompts: list[str]) -> list[int]:
        """Number of tokens of each text."""
        return [len(ids) for ids in self.tokenizer(_lowered(prompts)).input_ids]

    def read(self, prompts: list[str]) -> torch.Tensor:
        """Hidden states of texts, [B, context, width]; the end of a longer text is cut."""
        how = {"padding": "max_length", "max_length": self.context, "truncation": True, "return_tensors": "pt"}
        tokens = self.tokenizer(_lowered(prompts), **how).to(self.unet.device)
        return self.text_encoder(tokens.input_ids, tokens.attention_mask.bool())

    def predict(self, pictures: torch.Tensor, time: Any, texts: torch.Tensor) -> torch.Tensor:
        """The noise in the first three channels and the variance's place in the others: float32 [B, 6, H, W]."""
        noisy = pictures.to(texts.dtype)
        found = self.unet(noisy, time, encoder_hidden_states=texts, class_labels=texts[:, -1], return_dict=False)[0]
        return found.float().masked_fill(found.isinf(), torch.nan)  # clamping would make infinity an ordinary value

    def noise(self, generators: Sequence[torch.Generator]) -> torch.Tensor:
        """Standard normal noise of each picture's own generator, float32 [B, 3, H, W]."""
        side = self.unet.config.sample_size
        return randn_tensor((len(generators), 3, side, side), generator=list(generators), device=self.unet.device)


def base(
    network: Network, draw: Mapping[str, Any], prompts: list[str], generators: list[torch.Generator]
) -> torch.Tensor:
    """Pictures in [-1, 1], float32 [B, 3, H, W]: ancestral sampling with learned variance (Nichol and Dhariwal 2021).

    draw: `steps`, and `guidance_scale`, which acts on the predicted noise alone.
    """
    texts, guided = network.read(prompts), draw["guidance_scale"] > 1
    if guided:
        texts = torch.cat([texts, network.read([""]).expand_as(texts)])
    pictures = network.noise(generators)
    network.scheduler.set_timesteps(draw["steps"])
    for time in network.scheduler.timesteps:
        predicted = network.predict(torch.cat([pictures] * 2) if guided else pictures, time, texts)
        if guided:
            conditional, unconditional = predicted.chunk(2)
            nothing = unconditional[:, :3]
            noise = nothing + draw["guidance_scale"] * (conditional[:, :3] - nothing)
            predicted = torch.cat([noise, conditional[:, 3:]], dim=1)
        pictures = network.scheduler.step(predicted, time, pictures, generator=generators).prev_sample
    return pictures


def upsampled(
    network: Network, small: torch.Tensor, prompts: list[str], generators: list[torch.Generator]
) -> torch.Tensor:
    """Larger pictures of the same kind from pictures of `base`: DDIM without noise between the steps (Song et al. 2021)."""
    texts, side = network.read(prompts), network.unet.config.sample_size
    levels = ((small + 1) * 127.5).round() / 127.5 - 1
    seen = functional.interpolate(levels, (side, side), mode="bilinear", align_corners=False)
    pictures = TEMPERATURE * network.noise(generators)
    alphas = network.scheduler.alphas_cumprod.tolist()
    for time, alpha, before in _steps(alphas):
        predicted = network.predict(torch.cat([pictures, seen], dim=1), time, texts)[:, :3]
        clean = ((pictures - (1 - alpha) ** 0.5 * predicted) / alpha**0.5).clamp(-1, 1)
        noise = (pictures - alpha**0.5 * clean) / (1 - alpha) ** 0.5  # that of the clamped picture
        pictures = before**0.5 * clean + (1 - before) ** 0.5 * noise
    return pictures


def _steps(alphas: list[float]) -> list[tuple[int, float, float]]:
    """(timestep, its cumulative alpha, that of the next step) of each step, from noise to picture."""
    found = [alphas[time] for time in FAST27]
    return [*zip(FAST27, found, [1.0, *found[:-1]], strict=True)][::-1]


def _lowered(prompts: list[str]) -> list[str]:
    """Texts as GLIDE reads them."""
    return [prompt.lower() for prompt in prompts]
