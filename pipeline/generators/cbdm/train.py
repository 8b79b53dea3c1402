"""Training a class-conditional diffusion model from scratch on a long-tailed subset (DiffuLT Sec. 3.2; CBDM)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from diffusers import DDPMScheduler, UNet2DModel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from pipeline.artifacts.atomic import replacing_files
from pipeline.data.long_tail import shots
from pipeline.errors import InputError
from pipeline.generators.cbdm.loss import cbdm_loss
from pipeline.generators.cbdm.unet import build, layout, no_label
from pipeline.jobs.checkpoint import Checkpoint
from pipeline.jobs.progress import progress
from pipeline.seeds import epoch_order, mixed_seed

LOG_STEPS = 100
SCHEDULES = {"linear": "linear", "cosine": "squaredcos_cap_v2"}
"""Names of schedules -> diffusers'."""


def train(
    settings: Mapping[str, Any],
    pictures: np.ndarray,
    labels: np.ndarray,
    classes: int,
    device: torch.device,
    checkpoint: Checkpoint,
    output: Path,
) -> pd.DataFrame:
    """Train on uint8 [N, H, W, 3] pictures and int64 [N] labels, and save the averaged weights under `output`.

    `output` gets diffusers' folders `unet` and `scheduler`. Returns a row for each 100 steps: step, denoising, balancing
    (means of the losses), learning_rate. Continues from `checkpoint`; the same settings give the same weights on a
    CPU, continued or not. Raises InputError for fewer pictures than a batch, and where the loss is no longer finite.
    """
    height, width = pictures.shape[1:3]
    halvings = 2 ** (len(settings["unet"]["multipliers"]) - 1)
    if height != width or height % halvings:
        raise InputError(
            f"pictures of {width} x {height} pixels do not fit the U-Net; give the generator's `side`, a multiple of {halvings}"
        )
    seen = _seen(labels, classes, settings["many_shot_share"], settings["seed"])
    if (pictures == pictures[..., :1]).all():
        pictures = pictures[..., :1]  # grey pictures are learned, and later drawn, as one channel
    pictures = torch.from_numpy(pictures[seen]).permute(0, 3, 1, 2).contiguous().to(device)
    labels = torch.from_numpy(labels[seen]).to(device)
    batch_size, timesteps = settings["batch_size"], settings["timesteps"]
    if len(labels) < batch_size:
        raise InputError(f"batch_size is {batch_size}, but the generator sees {len(labels)} pictures only; lower it")

    torch.manual_seed(settings["seed"])
    unet = build(settings["unet"], classes, pictures.shape[-1], pictures.shape[1])
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
    average = AveragedModel(unet, multi_avg_fn=get_ema_multi_avg_fn(settings["ema_decay"]))
    history: list[dict] = []
    recent: list[torch.Tensor] = []

    start = 0
    if state := checkpoint.load():
        unet.load_state_dict(state["unet"])
        average.load_state_dict(state["average"])
        optimizer.load_state_dict(state["optimizer"])
        warmup.load_state_dict(state["warmup"])
        start, history, recent = state["step"], state["history"], [losses.to(device) for losses in state["recent"]]
        print(f"continuing at step {start} from {checkpoint.path}", flush=True)

    unet.train()
    per_epoch = len(labels) // batch_size  # the last, incomplete batch of an epoch is dropped
    for step in progress(range(start, settings["steps"]), "training generator", settings["steps"], start):
        epoch, position = divmod(step, per_epoch)
        if position == 0 or step == start:
            order = epoch_order(len(labels), settings["seed"], epoch).to(device)
        # of each step, so that a continued run draws what an uninterrupted one does
        torch.manual_seed(mixed_seed(settings["seed"], step))
        rows = order[position * batch_size : (position + 1) * batch_size]
        with torch.autocast(device.type, torch.bfloat16, enabled=settings["precision"] == "bfloat16"):
            loss = _batch_loss(unet, scheduler, pictures[rows], labels, rows, settings)
        optimizer.zero_grad()
        loss.total.backward()
        torch.nn.utils.clip_grad_norm_(unet.parameters(), settings["gradient_clip"])
        optimizer.step()
        warmup.step()
        average.update_parameters(unet)
        recent.append(torch.stack([loss.denoising, loss.balancing]).detach())

        finished = step + 1 == settings["steps"]
        logs, saves = len(recent) == LOG_STEPS or finished, checkpoint.due() and not finished
        if logs or saves:
            _require_finite(recent, step, checkpoint)
        if logs:
            denoising, balancing = torch.stack(recent).double().mean(0).tolist()
            rate = optimizer.param_groups[0]["lr"]
            history.append({"step": step + 1, "denoising": denoising, "balancing": balancing, "learning_rate": rate})
            recent = []
        if saves:
            checkpoint.save(
                {
                    "unet": unet.state_dict(),
                    "average": average.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "warmup": warmup.state_dict(),
                    "step": step + 1,
                    "history": history,
                    "recent": recent,
                }
            )
    _save(average.module, scheduler, output)
    return pd.DataFrame(history)


def _batch_loss(unet, scheduler, pictures, labels, rows, settings):
    """Draw flips, times, noise, y' and dropped labels for one batch, and return its loss."""
    device, count, timesteps = pictures.device, len(rows), settings["timesteps"]
    clean = pictures.float() / 127.5 - 1
    if settings["horizontal_flip"]:
        clean = random_flip(clean)
    times = torch.randint(0, timesteps, (count,), device=device)
    noise = torch.randn_like(clean)
    other_labels = labels[
        torch.randint(0, len(labels), (count,), device=device)
    ]  # y' ~ the subset's label distribution
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
    """Positions of the pictures that the generator sees: all, but of each many-shot class this share only."""
    random = np.random.RandomState(seed)
    counts = np.bincount(labels, minlength=classes)
    many = shots(counts) == "many"
    kept = []
    for label in range(classes):
        positions = np.flatnonzero(labels == label)
        share = round(many_shot_share * len(positions)) if many[label] else len(positions)
        kept.append(random.permutation(positions)[:share])
    return np.sort(np.concatenate(kept))


def _require_finite(recent: list[torch.Tensor], step: int, checkpoint: Checkpoint) -> None:
    finite = torch.stack(recent).isfinite().all(1).tolist()
    if not all(finite):
        first = step + 2 - len(recent) + finite.index(False)  # counted from 1, as in the history
        raise InputError(
            f"the generator's loss is not a finite number at step {first}; lower learning_rate "
            f"(last good checkpoint: {checkpoint.describe()})"
        )


def _save(unet: UNet2DModel, scheduler: DDPMScheduler, output: Path) -> None:
    """Save as diffusers does, each file whole or not at all."""
    for name, saved in (("unet", unet), ("scheduler", scheduler)):
        with replacing_files(output / name) as part:
            saved.save_pretrained(part)
