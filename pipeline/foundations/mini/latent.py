"""The VAE of a small foundation: pictures as latents with a few times fewer numbers (Rombach et al. 2022)."""

from collections.abc import Mapping
from typing import Any

import torch
from diffusers import AutoencoderKL

from pipeline.errors import InputError
from pipeline.foundations.mini.steps import trained
from pipeline.jobs.checkpoint import Checkpoint
from pipeline.seeds import mixed_seed

AT_ONCE = 512
"""Pictures that are encoded together."""
KL_WEIGHT = 1e-4
"""Weight of the latents' divergence from standard normal ones, beside the squared error."""


def train(settings: Mapping[str, Any], pictures: torch.Tensor, checkpoint: Checkpoint) -> AutoencoderKL:
    """A VAE of the pictures, float32 [N, 3, H, W] in [-1, 1]. Its `scaling_factor` makes the latents' deviation 1.

    Raises InputError if the pictures are no squares, or their side cannot be halved often enough.
    """
    own, side = settings["vae"], pictures.shape[-1]
    halvings = 2 ** (len(own["channels"]) + len(settings["unet"]["channels"]) - 2)
    if pictures.shape[-2] != side or side % halvings:
        raise InputError(
            f"pictures of {side} x {pictures.shape[-2]} pixels do not fit the networks; give the data set a `store_side`, a "
            f"multiple of {halvings}, or choose fewer channels"
        )
    levels = len(own["channels"])
    torch.manual_seed(mixed_seed(settings["seed"], 0))
    vae = AutoencoderKL(
        block_out_channels=own["channels"],
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=8,
        sample_size=side,
        mid_block_add_attention=False,
    ).to(pictures.device)

    def loss_of(rows: torch.Tensor) -> torch.Tensor:
        latents = vae.encode(pictures[rows]).latent_dist
        error = (vae.decode(latents.sample()).sample - pictures[rows]).square().mean()
        return error + KL_WEIGHT * latents.kl().mean() / latents.mean[0].numel()

    vae = trained("the VAE", vae, loss_of, len(pictures), own, settings["seed"], checkpoint)
    vae.register_to_config(scaling_factor=1 / encoded(vae, pictures, 1).std().item())
    return vae


@torch.inference_mode()
def encoded(vae: AutoencoderKL, pictures: torch.Tensor, scale: float | None = None) -> torch.Tensor:
    """Means of the pictures' latents, times the VAE's `scaling_factor`, or times `scale`: float32 [N, 4, h, w]."""
    scale = vae.config.scaling_factor if scale is None else scale
    return torch.cat([vae.encode(part).latent_dist.mean * scale for part in pictures.split(AT_ONCE)])
