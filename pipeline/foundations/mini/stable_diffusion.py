"""A small foundation's networks as a Stable Diffusion model of diffusers."""

from pathlib import Path

from diffusers import AutoencoderKL, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTextModel

from pipeline.foundations.mini.look import tokenizer
from pipeline.foundations.mini.unet import scheduler


def save(folder: Path, vae: AutoencoderKL, text: CLIPTextModel, unet: UNet2DConditionModel) -> None:
    """Write the model in diffusers' format."""
    pipeline = StableDiffusionPipeline(
        vae=vae,
        text_encoder=text,
        tokenizer=tokenizer(),
        unet=unet,
        scheduler=scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(folder)
