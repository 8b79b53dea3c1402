"""The one training loop of classifiers; a scheme says what the loss of a batch is."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from pipeline import kinds
from pipeline.classifiers.input.batches import Labelled, batches, once, steps_of
from pipeline.classifiers.learning_rate import learning_rate
from pipeline.classifiers.network import Network
from pipeline.classifiers.processes import ALONE, Processes
from pipeline.classifiers.scheme import Facts, Scheme
from pipeline.classifiers.views_norm import BATCH_NORMS
from pipeline.errors import InputError
from pipeline.jobs.checkpoint import Checkpoint
from pipeline.jobs.progress import progress
from pipeline.seeds import mixed_seed


def train(
    settings: Mapping[str, Any],
    data: Labelled,
    test: Labelled,
    validation: Callable[[], Labelled | None],
    network: Network,
    epoch_length: int,
    seed: int,
    device: torch.device,
    checkpoint: Checkpoint,
    processes: Processes = ALONE,
) -> pd.DataFrame:
    """Train `network` in place; return a row an epoch: epoch (from 1), learning_rate, loss, test_top1 (percent).

    An epoch goes through `epoch_length` pictures, some of them again where that is more than there are. The test split
    is only watched; `validation` is called by schemes that choose by it. Continues from `checkpoint`. Every process has a
    part of each batch, and the gradients' mean. Raises InputError where data and scheme do not fit, and where the loss is
    no longer finite.
    """
    scheme = _scheme(settings, data, validation, network.to(device), seed, device, processes)
    history = (
        _epochs(settings, scheme, data, test, epoch_length, seed, device, checkpoint, processes)
        if scheme.loaders
        else []
    )
    scheme.finish()
    if not history:  # nothing was to be trained
        history = [{"epoch": 0, "learning_rate": 0.0, "loss": 0.0, "test_top1": _top1(network, test, processes)}]
    return pd.DataFrame(history)


def _epochs(
    settings: Mapping[str, Any],
    scheme: Scheme,
    data: Labelled,
    test: Labelled,
    epoch_length: int,
    seed: int,
    device: torch.device,
    checkpoint: Checkpoint,
    processes: Processes,
) -> list[dict]:
    network, epochs = scheme.network, settings["epochs"]
    optimizer = _optimizer(settings, [weight for weight in scheme.parameters() if weight.requires_grad])
    average = _average(network, settings["ema_decay"])
    history: list[dict] = []
    begun: list[torch.Tensor] = []  # losses, of all processes, of an epoch that a checkpoint has stopped in
    if state := checkpoint.load():
        scheme.load_state_dict(state["scheme"])
        optimizer.load_state_dict(state["optimizer"])
        if average:
            average.load_state_dict(state["average"])
        history, begun = state["history"], [loss.to(device) for loss in state["losses"]]
        print(f"continuing after {len(history)} epochs and {len(begun)} steps from {checkpoint.path}", flush=True)

    def save(losses: list[torch.Tensor]) -> None:
        state = {
            "scheme": scheme.state_dict(),
            "optimizer": optimizer.state_dict(),
            "history": history,
            "losses": losses,
        }
        checkpoint.save(state | ({"average": average.state_dict()} if average else {}))

    if settings["compile"]:
        network.backbone.compile()
    model = DistributedDataParallel(scheme) if processes.count > 1 else scheme

    steps = steps_of(epoch_length, settings["batch_size"], processes)
    for epoch in _shown(range(len(history), epochs), epochs, processes):
        rate = learning_rate(epoch, settings)
        for group in optimizer.param_groups:
            group["lr"] = rate
        scheme.train()
        processes.take_firsts_buffers(scheme)  # else each would begin with its own
        losses, begun = begun, []
        if not losses:
            scheme.start_epoch(epoch)
        if settings["frozen_batch_norm"]:
            _freeze_batch_norm(scheme)
        with contextlib.ExitStack() as until_the_end:
            loaders = [
                until_the_end.enter_context(
                    contextlib.closing(
                        batches(data, loader, place, epoch, epoch_length, seed, device, processes, len(losses))
                    )
                )
                for place, loader in enumerate(scheme.loaders)
            ]
            for step, drawn in enumerate(zip(*loaders, strict=True), epoch * steps + len(losses)):
                random = np.random.default_rng(mixed_seed(seed, step, 0))
                part = drawn[0][1]  # a process with a smaller part of the batch counts less
                with torch.autocast(device.type, torch.bfloat16, enabled=settings["precision"] == "bfloat16"):
                    loss = part * model([batch for batch, _ in drawn], epoch, random)
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                if average:
                    average.update_parameters(network)
                losses.append(processes.mean(loss.detach()))
                if processes.first and checkpoint.due():
                    _require_finite(torch.stack(losses), epoch * steps, checkpoint)
                    save(losses)
        losses = torch.stack(losses)
        _require_finite(losses, epoch * steps, checkpoint)
        judged = average.module if average else network
        processes.take_firsts_buffers(judged)  # which are the ones that are kept
        top1 = _top1(judged, test, processes)
        history.append({"epoch": epoch + 1, "learning_rate": rate, "loss": losses.mean().item(), "test_top1": top1})
    if average:
        network.load_state_dict(average.module.state_dict())
    return history


def _scheme(
    settings: Mapping[str, Any],
    data: Labelled,
    validation: Callable[[], Labelled | None],
    network: Network,
    seed: int,
    device: torch.device,
    processes: Processes,
) -> Scheme:
    classes = network.description["classes"]
    of_prior = data.labels if settings["prior_from"] == "all" else data.labels[~data.generated]
    facts = Facts(
        counts=torch.bincount(of_prior, minlength=classes),
        generated_pictures=int(data.generated.sum()),
        once=lambda split, epoch, views: once(
            data if split == "train" else validation(), views, epoch, seed, settings["batch_size"], device, processes
        ),
        processes=processes,
    )
    return kinds.load("classifiers.schemes", settings["scheme"]).build(settings, network, facts).to(device)


def _optimizer(settings: Mapping[str, Any], weights: list[nn.Parameter]) -> torch.optim.Optimizer:
    rate, decay = settings["learning_rate"], settings["weight_decay"]
    if settings["optimizer"] == "adamw":
        return torch.optim.AdamW(weights, rate, weight_decay=decay)
    return torch.optim.SGD(weights, rate, settings["momentum"], weight_decay=decay, nesterov=settings["nesterov"])


def _average(network: Network, decay: float | None) -> AveragedModel | None:
    return decay and AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True)


def _freeze_batch_norm(scheme: Scheme) -> None:
    for module in scheme.modules():
        if isinstance(module, BATCH_NORMS):
            module.eval()


def _top1(network: Network, test: Labelled, processes: Processes) -> float:
    """Percent of the test split, of which each process judges a part."""
    mine = processes.share(len(test.labels))
    _, logits = network.predict(test.pictures, rows=mine)
    right = (logits.argmax(1) == test.labels[mine]).sum()
    return 100 * processes.sum(right.to(next(network.parameters()).device)).item() / max(len(test.labels), 1)


def _shown(epochs: range, total: int, processes: Processes) -> Iterator[int]:
    return progress(epochs, "training classifier", total, epochs.start, "epoch") if processes.first else iter(epochs)


def _require_finite(losses: torch.Tensor, first_step: int, checkpoint: Checkpoint) -> None:
    finite = losses.isfinite().tolist()
    if not all(finite):
        raise InputError(
            f"the classifier's loss is not a finite number at step {first_step + finite.index(False) + 1}; "
            f"lower learning_rate (last good checkpoint: {checkpoint.describe()})"
        )
