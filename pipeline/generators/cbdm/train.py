"""Train a class-conditional diffusion model from scratch on a long-tailed subset (DiffuLT Sec. 3.2; CBDM)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from diffusers import DDPMScheduler, UNet2DModel

from pipeline.artifacts.atomic import replacing_files
from pipeline.data.shots import shots
from pipeline.errors import InputError
from pipeline.generators.cbdm.initial_weights import initialize
from pipeline.generators.cbdm.loss import cbdm_loss
from pipeline.generators.cbdm.unet import build, layout, no_label
from pipeline.jobs.checkpoint import Checkpoint
from pipeline.jobs.progress import progress
from pipeline.jobs.training import Training
from pipeline.seeds import epoch_order, mixed_seed

LOG_STEPS = 100
SCHEDULES = {"linear": "linear", "cosine": "squaredcos_cap_v2"}
"""Names of noise schedules -> diffusers' names."""


def train(
    settings: Mapping[str, Any],
    pictures: np.ndarray,
    labels: np.ndarray,
    classes: int,
    device: torch.device,
    checkpoint: Checkpoint,
    output: Path,
) -> tuple[pd.DataFrame, list[Path]]:
    """Train on uint8 [N, H, W, 3] pictures and int64 [N] labels, and save the averaged weights under `output`.

    `output` gets diffusers' folders `unet` and `scheduler`. Returns a table and their files. The table has one row per 100
    steps: step, denoising, balancing (means of the losses), learning_rate. Continues from `checkpoint`; the same settings
    give the same weights on a CPU, continued or not. Raises InputError if there are fewer pictures than in a batch, or if
    the loss is no longer finite.
    """
    height, width = pictures.shape[1:3]
    halvings = 2 ** (len(settings["unet"]["multipliers"]) - 1)
    if height != width or height % halvings:
        raise InputError(
            f"pictures of {width} x {height} pixels do not fit the U-Net; give the generator's `side`, a multiple of {halvings}"
        )
    seen = _seen(labels, classes, settings["many_shot_share"], settings["seed"])
    if (pictures == pictures[..., :1]).all():
        pictures = pictures[..., :1]  # grey pictures are trained on and later drawn as one channel
    pictures = torch.from_numpy(pictures[seen]).permute(0, 3, 1, 2).contiguous().to(device)
    labels = torch.from_numpy(labels[seen]).to(device)
    batch_size, timesteps = settings["batch_size"], settings["timesteps"]
    if len(labels) < batch_size:
        raise InputError(
            f"batch_size is {batch_size}, but the generator trains on only {len(labels)} pictures; lower it"
        )

    torch.manual_seed(settings["seed"])
    unet = build(settings["unet"], classes, pictures.shape[-1], pictures.shape[1])
    initialize(unet, settings["unet"]["initial_weights"])
    unet.to(device, memory_format=layout(device))
    scheduler = DDPMScheduler(
        timesteps,
        settings["beta_start"],
        settings["beta_end"],
        SCHEDULES[settings["schedule"]],
        variance_type="fixed_large",
        clip_sample=False,
    )
    scheduler.alphas_cumprod = scheduler.alphas_cumprod.to(device)
    optimizer = torch.optim.Adam(unet.parameters(), lr=settings["learning_rate"], fused=True)
    warmup = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: min(step / settings["warmup_steps"], 1) if settings["warmup_steps"] else 1
    )
    training = Training(
        "generator", checkpoint, unet, settings["ema_decay"], unet=unet, optimizer=optimizer, warmup=warmup
    )

    unet.train()
    per_epoch = len(labels) // batch_size  # the last, incomplete batch of an epoch is dropped
    start, steps = training.step, settings["steps"]
    for step in progress(range(start, steps), "training generator", steps, start):
        epoch, position = divmod(step, per_epoch)
        if position == 0 or step == start:
            order = epoch_order(len(labels), settings["seed"], epoch).to(device)
        # a seed for each step, so that a continued run draws the same as an uninterrupted one
        torch.manual_seed(mixed_seed(settings["seed"], step))
        rows = order[position * batch_size : (position + 1) * batch_size]
        with torch.autocast(device.type, torch.bfloat16, enabled=settings["precision"] == "bfloat16"):
            loss = _batch_loss(unet, scheduler, pictures[rows], labels, rows, settings)
        optimizer.zero_grad()
        loss.total.backward()
        torch.nn.utils.clip_grad_norm_(unet.parameters(), settings["gradient_clip"])
        optimizer.step()
        warmup.step()
        training.after_step(torch.stack([loss.denoising, loss.balancing]))
        if len(training.recent) == LOG_STEPS or step + 1 == steps:
            denoising, balancing = training.take_losses().double().mean(0).tolist()
            rate = optimizer.param_groups[0]["lr"]
            row = {"step": step + 1, "denoising": denoising, "balancing": balancing, "learning_rate": rate}
            training.history.append(row)
        training.save_if_due()
    training.save()
    return pd.DataFrame(training.history), _save(training.averaged, scheduler, output)


def _batch_loss(unet, scheduler, pictures, labels, rows, settings):
    """Draw flips, times, noise, y' and dropped labels for one batch, and return its loss."""
    device, count, timesteps = pictures.device, len(rows), settings["timesteps"]
    clean = pictures.float() / 127.5 - 1
    if settings["horizontal_flip"]:
        clean = random_flip(clean)
    times = torch.randint(0, timesteps, (count,), device=device)
    noise = torch.randn_like(clean)
    # y' ~ the subset's label distribution
    other_labels = labels[torch.randint(0, len(labels), (count,), device=device)]
    coins = 1 if settings["label_dropout_per"] == "batch" else count
    dropped = (torch.rand(coins) < settings["label_dropout"]).expand(count)
    batch_labels = labels[rows].masked_fill(dropped.to(device), no_label(unet))
    weights = None
    if settings["tau"] > 0 and not dropped.all():  # pictures without a label have no balancing term
        weights = settings["tau"] * times / timesteps * ~dropped.to(device)

    def predict(noisy, times, labels):
        return unet(noisy.contiguous(memory_format=layout(device)), times, labels).sample.float()

    noisy = scheduler.add_noise(clean, noise, times)
    return cbdm_loss(predict, noisy, times, batch_labels, other_labels, noise, weights, settings["gamma"])


def random_flip(pictures: torch.Tensor) -> torch.Tensor:
    """Mirror each picture left to right with probability 1/2; any dtype, [N, C, H, W]."""
    flip = torch.rand(len(pictures), device=pictures.device) < 0.5
    return torch.where(flip[:, None, None, None], pictures.flip(-1), pictures)


def _seen(labels: np.ndarray, classes: int, many_shot_share: float, seed: int) -> np.ndarray:
    """Positions of the generator's training pictures: all, but only `many_shot_share` of each many-shot class."""
    random = np.random.RandomState(seed)
    counts = np.bincount(labels, minlength=classes)
    many = shots(counts) == "many"
    kept = []
    for label in range(classes):
        positions = np.flatnonzero(labels == label)
        share = round(many_shot_share * len(positions)) if many[label] else len(positions)
        kept.append(random.permutation(positions)[:share])
    return np.sort(np.concatenate(kept))


def _save(unet: UNet2DModel, scheduler: DDPMScheduler, output: Path) -> list[Path]:
    """Save in diffusers' format, each file completely or not at all; return the files."""
    written = []
    for name, saved in (("unet", unet), ("scheduler", scheduler)):
        with replacing_files(output / name) as part:
            saved.save_pretrained(part)
            written += sorted(output / name / path.name for path in part.iterdir())
    return written
