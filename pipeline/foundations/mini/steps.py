"""The loop that trains each network of a small foundation."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from pipeline.jobs.checkpoint import Checkpoint
from pipeline.jobs.progress import progress
from pipeline.jobs.training import Training
from pipeline.seeds import epoch_order, mixed_seed

LOG_STEPS = 100


def trained(
    name: str,
    network: nn.Module,
    loss_of: Callable[[torch.Tensor], torch.Tensor],
    pictures: int,
    settings: Mapping[str, Any],
    seed: int,
    checkpoint: Checkpoint,
) -> nn.Module:
    """Train a network on batches of pictures with AdamW, and return the average of its weights, frozen.

    loss_of: the loss of a batch, from the positions of its pictures, int64 [B]. settings: steps, batch_size, learning_rate and
    ema_decay. Raises InputError if the loss is no longer finite.
    """
    batch_size, steps = settings["batch_size"], settings["steps"]
    optimizer = torch.optim.AdamW(network.parameters(), lr=settings["learning_rate"])
    training = Training(name, checkpoint, network, settings["ema_decay"], network=network, optimizer=optimizer)
    device = next(network.parameters()).device
    network.train()
    per_epoch, start = pictures // batch_size, training.step
    for step in progress(range(start, steps), f"training {name}", steps, start):
        epoch, position = divmod(step, per_epoch)
        if position == 0 or step == start:
            order = epoch_order(pictures, seed, epoch).to(device)
        # a seed for each step, so that a continued run draws the same as an uninterrupted one
        torch.manual_seed(mixed_seed(seed, step))
        loss = loss_of(order[position * batch_size : (position + 1) * batch_size])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        training.after_step(loss)
        if (step + 1) % LOG_STEPS == 0 or step + 1 == steps:
            print(f"{name}: mean loss {training.take_losses().double().mean():.4f} up to step {step + 1}", flush=True)
        training.save_if_due()
    training.save()
    return training.averaged.eval().requires_grad_(False)
