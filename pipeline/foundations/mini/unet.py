"""The U-Net of a small foundation: it removes noise from latents, given a caption (Rombach et al. 2022)."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from transformers import CLIPTextModel

from pipeline.foundations.mini.look import TOKENS, tokenizer
from pipeline.foundations.mini.steps import trained
from pipeline.jobs.checkpoint import Checkpoint
from pipeline.seeds import mixed_seed

CAPTION_DROPOUT = 0.1
"""Share of pictures that are seen without their caption, for classifier-free guidance."""


def train(
    settings: Mapping[str, Any],
    latents: torch.Tensor,
    labels: torch.Tensor,
    text: CLIPTextModel,
    captions: Sequence[str],
    checkpoint: Checkpoint,
) -> UNet2DConditionModel:
    """A U-Net for latents, float32 [N, 4, h, w], of pictures with labels, int64 [N], and a caption for each class.

    It predicts v (Salimans and Ho 2022) on Stable Diffusion's noise schedule.
    """
    own = settings["unet"]
    torch.manual_seed(mixed_seed(settings["seed"], 2))
    levels = len(own["channels"])
    unet = UNet2DConditionModel(
        sample_size=latents.shape[-1],
        block_out_channels=own["channels"],
        layers_per_block=1,
        down_block_types=("DownBlock2D", *["CrossAttnDownBlock2D"] * (levels - 1)),
        up_block_types=(*["CrossAttnUpBlock2D"] * (levels - 1), "UpBlock2D"),
        cross_attention_dim=text.config.hidden_size,
        attention_head_dim=8,
        norm_num_groups=8,
    ).to(latents.device)
    noising, texts = scheduler(), encoded_texts(text, [*captions, ""])
    alphas = noising.alphas_cumprod.to(latents.device)
    noising.alphas_cumprod = alphas

    def loss_of(rows: torch.Tensor) -> torch.Tensor:
        clean = latents[rows]
        times = torch.randint(0, len(alphas), (len(rows),)).to(clean.device)
        noise = torch.randn(clean.shape).to(clean.device)
        dropped = torch.rand(len(rows)).to(clean.device) < CAPTION_DROPOUT
        captioned = texts[labels[rows].masked_fill(dropped, len(captions))]
        predicted = unet(noising.add_noise(clean, noise, times), times, captioned).sample
        return (predicted - noising.get_velocity(clean, noise, times)).square().mean()

    return trained("the U-Net", unet, loss_of, len(latents), own, settings["seed"], checkpoint)


def scheduler() -> DDIMScheduler:
    """Stable Diffusion's noise schedule, for a network that predicts v."""
    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )


@torch.inference_mode()
def encoded_texts(text: CLIPTextModel, texts: Sequence[str]) -> torch.Tensor:
    """Hidden states of the texts, as Stable Diffusion reads them, float32 [N, tokens, width]."""
    tokens = tokenizer()(list(texts), padding="max_length", max_length=TOKENS, truncation=True, return_tensors="pt")
    return text(tokens.input_ids.to(text.device))[0].clone()
