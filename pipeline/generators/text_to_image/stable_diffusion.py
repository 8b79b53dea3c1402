"""Stable Diffusion: text encoder, U-Net in the latent space of a VAE, classifier-free guidance (Rombach et al. 2022)."""

import copy
import functools
import inspect
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from diffusers.utils.torch_utils import randn_tensor

from pipeline.guidance.clean import predicted_clean

Conditions = dict[str, torch.Tensor]
"""What the network reads beside latents and time, by the names of its arguments: [B, ...], or, with guidance, [2 B, ...]: first what
the unconditional prediction reads."""

DECODED_AT_ONCE = 2**14
"""Places of latents that are decoded together for feedback, which keeps the VAE's activations: one picture of 768 px, or four of 512."""


class Group(NamedTuple):
    """Pictures of a batch that are denoised from the same step on, with a scheduler of their own: some remember past steps."""

    first: int
    """The first of the scheduler's times."""
    rows: torch.Tensor
    """Places in the batch, int64."""
    scheduler: Any


class StableDiffusion:
    """A model whose components are loaded, ready to draw.

    draw: steps, guidance_scale, negative_prompt, and side in pixels, or None for the model's own. feedback: of a guide.
    """

    def __init__(self, found: Mapping[str, Any], draw: Mapping[str, Any], device: torch.device, feedback: Any = None):
        self._tokenizer, self._scheduler = found["tokenizer"], found["scheduler"]
        self._text_encoder, self._unet, self.vae = (found[name].to(device) for name in ("text_encoder", "unet", "vae"))
        self.steps, self._scale, self.device = draw["steps"], draw["guidance_scale"], device
        self._negative, self._feedback = draw["negative_prompt"], feedback
        self.guided = self._scale > 1  # without guidance, the unconditional prediction is not needed
        """Whether there is classifier-free guidance."""
        halvings = 2 ** (len(self.vae.config.block_out_channels) - 1)
        side = draw["side"] // halvings if draw["side"] else self._unet.config.sample_size
        self._shape = (self._unet.config.in_channels, side, side)
        self.side = side * halvings
        """Side of the pictures, in pixels."""

    def cut(self, prompts: list[str]) -> int:
        """Number of prompts with more tokens than the text encoder reads."""
        longest = limit(self._tokenizer, self._text_encoder)
        return sum(len(ids) > longest for ids in self._tokenizer(prompts).input_ids)

    def draw(self, rows: pd.DataFrame, generators: list[torch.Generator]) -> torch.Tensor:
        """Pictures in [0, 1] before clamping, [B, 3, H, W]; each has its own generator, which draws on the CPU."""
        groups, conditions = self.groups([0] * len(rows)), self.conditions(rows, generators)
        noise = randn_tensor(
            (len(rows), *self._shape), generator=generators, device=self.device, dtype=self._unet.dtype
        )
        return self.denoised(noise * groups[0].scheduler.init_noise_sigma, groups, rows, conditions, generators)

    def groups(self, skipped: Sequence[int]) -> list[Group]:
        """The pictures of a batch by the number of steps that each of them skips."""
        groups = []
        for number in sorted(set(skipped)):
            scheduler = copy.deepcopy(self._scheduler)
            scheduler.set_timesteps(self.steps, device=self.device)
            first = number * scheduler.order
            if first and hasattr(scheduler, "set_begin_index"):
                scheduler.set_begin_index(first)
            groups.append(Group(first, torch.from_numpy(np.flatnonzero(np.array(skipped) == number)), scheduler))
        return groups

    def denoised(
        self,
        latents: torch.Tensor,
        groups: list[Group],
        rows: pd.DataFrame,
        conditions: Conditions,
        generators: list[torch.Generator],
    ) -> torch.Tensor:
        """Pictures of latents that have the noise of their group's first time.

        The network always sees the whole batch, because its shape must not depend on which pictures are in it.
        """
        times = groups[0].scheduler.timesteps
        for place in range(groups[0].first, len(times)):
            begun = [group for group in groups if group.first <= place]
            seen = latents.clone()
            for _, own, scheduler in begun:
                seen[own] = scheduler.scale_model_input(latents[own], times[place])
            if self._feedback and self._feedback.is_due(place):
                moved, predicted = self._led(seen, times[place], conditions, rows)
                for group in begun:
                    latents[group.rows] = moved[group.rows]
            else:
                predicted = self._predicted(seen, times[place], conditions)
            for _, own, scheduler in begun:
                noise = {"generator": [generators[row] for row in own]} if _draws_noise(scheduler) else {}
                latents[own] = scheduler.step(predicted[own], times[place], latents[own], **noise).prev_sample
        return self._decoded(latents) / 2 + 0.5

    def _predicted(self, latents: torch.Tensor, time: torch.Tensor, conditions: Conditions) -> torch.Tensor:
        """The network's prediction, with guidance if the conditions are for it."""
        if not self.guided:
            return self._unet(latents, time, **conditions, return_dict=False)[0]
        both = self._unet(torch.cat([latents] * 2), time, **conditions, return_dict=False)[0]
        return self._with_guidance(*both.chunk(2))

    def _with_guidance(self, unconditional: torch.Tensor, conditional: torch.Tensor) -> torch.Tensor:
        return unconditional + self._scale * (conditional - unconditional)

    def _led(
        self, latents: torch.Tensor, time: torch.Tensor, conditions: Conditions, rows: pd.DataFrame
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The latents after a step of the feedback, and the prediction for those before it, whose conditional half that step needs."""
        count, alpha_bar = len(latents), self._scheduler.alphas_cumprod[int(time)].item()
        labels, seeds = (torch.from_numpy(rows[name].to_numpy("int64", copy=True)) for name in ("class", "seed"))
        own = {name: value[-count:] for name, value in conditions.items()}
        moved, conditional = self._feedback.guided(
            latents,
            labels.to(self.device),
            seeds.to(self.device),
            lambda noisy: self._unet(noisy, time, **own, return_dict=False)[0],
            functools.partial(predicted_clean, self._scheduler.config.prediction_type, alpha_bar=alpha_bar),
            (1 - alpha_bar) ** 0.5,
            self._decoded,
            DECODED_AT_ONCE,
        )
        if not self.guided:
            return moved, conditional
        other = {name: value[:count] for name, value in conditions.items()}
        unconditional = self._unet(latents, time, **other, return_dict=False)[0]
        return moved, self._with_guidance(unconditional, conditional)

    def _decoded(self, latents: torch.Tensor) -> torch.Tensor:
        """Pictures of latents, [B, 3, H, W] in about [-1, 1]."""
        return self.vae.decode(latents / self.vae.config.scaling_factor, return_dict=False)[0]

    def conditions(self, rows: pd.DataFrame, generators: list[torch.Generator]) -> Conditions:
        """Hidden states of the rows' texts; with guidance, below those of the negative prompt: [B or 2 B, tokens, width]."""
        texts = self.texts(rows)
        negative = [self._encoded([self._negative] * len(rows))] if self.guided else []
        return {"encoder_hidden_states": torch.cat([*negative, texts])}

    def texts(self, rows: pd.DataFrame) -> torch.Tensor:
        """Hidden states of the rows' prompts, [B, tokens, width]."""
        return self._encoded(rows["prompt"].tolist())

    def _encoded(self, prompts: list[str]) -> torch.Tensor:
        """Hidden states of the texts, [B, tokens, width]."""
        return encoded(self._tokenizer, self._text_encoder, prompts)


def limit(tokenizer: Any, text_encoder: Any) -> int:
    """Number of tokens that the text encoder reads."""
    return min(tokenizer.model_max_length, text_encoder.config.max_position_embeddings)  # without a limit it says 1e30


def encoded(tokenizer: Any, text_encoder: Any, texts: Sequence[str]) -> torch.Tensor:
    """Hidden states of the texts as Stable Diffusion reads them, [N, tokens, width]; longer texts are cut."""
    tokens = tokenized(tokenizer, text_encoder, texts)
    return hidden_states(text_encoder, tokens.input_ids, tokens.attention_mask)


def tokenized(tokenizer: Any, text_encoder: Any, texts: Sequence[str]) -> Any:
    """`input_ids` and `attention_mask` of the texts, int64 [N, tokens], cut or filled up to what the text encoder reads."""
    longest = limit(tokenizer, text_encoder)
    return tokenizer(list(texts), padding="max_length", max_length=longest, truncation=True, return_tensors="pt")


def hidden_states(text_encoder: Any, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Hidden states of tokens, [N, tokens, width]; the mask counts if the text encoder's config says so."""
    masked = getattr(text_encoder.config, "use_attention_mask", False)
    mask = mask.to(text_encoder.device) if masked else None
    return text_encoder(ids.to(text_encoder.device), attention_mask=mask)[0]


def _draws_noise(scheduler: Any) -> bool:
    """Whether the scheduler's step takes random generators."""
    return "generator" in inspect.signature(scheduler.step).parameters
