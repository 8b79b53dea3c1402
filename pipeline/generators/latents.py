"""The latents of real pictures, encoded once: mean and log-variance of each picture and of its mirror image."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from PIL import Image

from pipeline.artifacts import shards
from pipeline.jobs.checkpoint import Pieces
from pipeline.jobs.progress import progress

AT_ONCE = 16
"""Pictures that are encoded together, each with its mirror image."""


def moments(vae: Any, rows: pd.DataFrame, folder: Path, side: int, pieces: Pieces) -> torch.Tensor:
    """Mean and log-variance of the latents of the pictures in a manifest's rows, float32 [N, 2, 2 C, h, w], on the CPU.

    Of the second axis, the first is of the picture and the second of its mirror image: the latents of a mirrored picture are not
    the mirrored latents. Pictures are resized to squares of `side` pixels without a crop (Fill-Up's code). folder: the manifest's.
    Finished ones are kept in `pieces`.
    """

    @torch.inference_mode()
    def encoded(done: int) -> Iterator[np.ndarray]:
        starts = range(done, len(rows), AT_ONCE)
        total = (len(rows) + AT_ONCE - 1) // AT_ONCE
        for start in progress(starts, "encoding pictures", total, done // AT_ONCE, "batch"):
            pictures = np.stack([_square(rows.iloc[[row]], folder, side) for row in _batch(start, len(rows))])
            both = torch.from_numpy(np.stack([pictures, pictures[:, :, ::-1]], axis=1)).flatten(0, 1)
            pixels = both.permute(0, 3, 1, 2).to(vae.device, torch.float32) / 127.5 - 1
            found = vae.encode(pixels.to(vae.dtype)).latent_dist.parameters.float()
            yield found.unflatten(0, (-1, 2)).cpu().contiguous().numpy()  # in the layout that they are read back in

    found = list(pieces.continued(encoded))
    return torch.from_numpy(np.concatenate(found)) if found else torch.zeros(0, 2, 0, 0, 0)


def sampled(moments: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    """Latents drawn from their distributions, unscaled: float [N, C, h, w]. moments: [N, 2 C, h, w]. noise: standard normal.

    The log-variance is clamped to [-30, 20], as in diffusers and latent diffusion (Rombach et al. 2022).
    """
    mean, log_variance = moments.chunk(2, dim=1)
    return mean + (log_variance.clamp(-30, 20) / 2).exp() * noise


def _batch(start: int, count: int) -> range:
    return range(start, min(start + AT_ONCE, count))


def _square(row: pd.DataFrame, folder: Path, side: int) -> np.ndarray:
    """One picture, uint8 [side, side, 3]."""
    picture = shards.read_pictures(row, folder)[0]
    if picture.shape[:2] == (side, side):
        return picture
    return np.array(Image.fromarray(picture).resize((side, side), Image.Resampling.BICUBIC))
