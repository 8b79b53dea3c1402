"""The training loop of classifiers: real and generated pictures as one uint8 tensor on the device."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch

from pipeline import kinds
from pipeline.checkpoint import Checkpoint
from pipeline.classifiers.network import Network, to_batch
from pipeline.classifiers.schedule import learning_rate
from pipeline.data.views import epoch_order, random_crop, random_flip
from pipeline.device import seed_step
from pipeline.errors import InputError
from pipeline.progress import progress


class Pictures(NamedTuple):
    """uint8 [N, H, W, 3] pictures, int64 [N] labels, and bool [N]: whether each was generated."""

    pictures: np.ndarray
    labels: np.ndarray
    synthetic: np.ndarray


def train(
    settings: Mapping[str, Any],
    data: Pictures,
    test: Pictures,
    network: Network,
    epoch_length: int,
    seed: int,
    device: torch.device,
    checkpoint: Checkpoint,
) -> pd.DataFrame:
    """Train `network` in place; return a row an epoch: epoch (from 1), learning_rate, loss, test_top1 (percent).

    An epoch goes through `epoch_length` pictures, some of them again where that is more than there are. The test split
    is only watched. Continues from `checkpoint`. Raises InputError where the loss is no longer finite.
    """
    loss_of = kinds.load("classifiers.losses", settings["loss"]).batch_loss
    pictures, labels = to_batch(data.pictures, device), torch.from_numpy(data.labels).to(device)
    synthetic = torch.from_numpy(data.synthetic).to(device)
    test_pictures, test_labels = to_batch(test.pictures, device), torch.from_numpy(test.labels)
    network.to(device)
    optimizer = torch.optim.SGD(
        network.parameters(), settings["learning_rate"], settings["momentum"], weight_decay=settings["weight_decay"]
    )
    history: list[dict] = []
    if state := checkpoint.load(device):
        network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
        history = state["history"]
        print(f"continuing after epoch {len(history)} from {checkpoint.path}", flush=True)

    batch_size, epochs = settings["batch_size"], settings["epochs"]
    for epoch in progress(range(len(history), epochs), "training classifier", epochs, len(history), "epoch"):
        network.train()
        order = _order(len(labels), epoch_length, seed, epoch).to(device)
        rate = learning_rate(epoch, settings)
        for group in optimizer.param_groups:
            group["lr"] = rate
        losses, first_step = [], epoch * -(-epoch_length // batch_size)
        for rows in order.split(batch_size):
            seed_step(seed, first_step + len(losses))
            batch = random_crop(pictures[rows], settings["crop_padding"])
            if settings["horizontal_flip"]:
                batch = random_flip(batch)
            loss = loss_of(network(batch), labels[rows], synthetic[rows], settings)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.detach())
        losses = torch.stack(losses)
        _require_finite(losses, first_step, checkpoint)
        _, logits = network.predict(test_pictures)
        top1 = 100 * (logits.argmax(1) == test_labels).double().mean().item()
        history.append({"epoch": epoch + 1, "learning_rate": rate, "loss": losses.mean().item(), "test_top1": top1})
        if checkpoint.due() and epoch + 1 < epochs:
            checkpoint.save({"network": network.state_dict(), "optimizer": optimizer.state_dict(), "history": history})
    return pd.DataFrame(history)


def _order(count: int, length: int, seed: int, epoch: int) -> torch.Tensor:
    """`length` positions below `count`: a permutation, or as many one after the other as it takes."""
    rounds = -(-length // count)
    return torch.cat([epoch_order(count, seed, epoch * rounds + repeat) for repeat in range(rounds)])[:length]


def _require_finite(losses: torch.Tensor, first_step: int, checkpoint: Checkpoint) -> None:
    finite = losses.isfinite().tolist()
    if not all(finite):
        raise InputError(
            f"the classifier's loss is not a finite number at step {first_step + finite.index(False) + 1}; "
            f"lower learning_rate (last good checkpoint: {checkpoint.describe()})"
        )
