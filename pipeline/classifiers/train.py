"""Training loop of all classifiers; a scheme defines the loss of a batch."""

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from pipeline import kinds
from pipeline.classifiers.best import Best, accuracies
from pipeline.classifiers.input.batches import ByClass, Labelled, batches, once
from pipeline.classifiers.learning_rate import learning_rate
from pipeline.classifiers.network import Network
from pipeline.classifiers.processes import ALONE, Processes
from pipeline.classifiers.rounds import last_epoch
from pipeline.classifiers.scheme import Scheme, TrainingData
from pipeline.classifiers.views_norm import BATCH_NORMS
from pipeline.errors import InputError
from pipeline.jobs.checkpoint import Checkpoint
from pipeline.jobs.progress import progress
from pipeline.jobs.training import NotFinite, Training
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
    """Train `network` in place; return one row per epoch: epoch (from 1), steps so far, learning_rate, loss, test_top1 (percent, or
    NaN), kept.

    An epoch goes through `epoch_length` pictures; some repeat if there are fewer. The test split is only reported, after every
    `test_every` epochs and the last one. One row is `kept`: the epoch whose weights the network has at the end. That is the last
    one, or, as settings["select_by"] says, the best on the validation split of those that the test split is reported for; the
    training may then end early (settings["patience"]), and rows have that figure under its name. Schemes that choose on the
    validation split call `validation`. Continues from `checkpoint`; a round of a longer training (settings["round"]) ends with its
    share of the epochs. Every process has a part of each batch and the mean gradient. Raises InputError if data and scheme do not
    fit, or if the loss is no longer finite.
    """
    scheme = _scheme(settings, data, validation, network.to(device), seed, device, processes)
    history = []
    try:
        if scheme.loaders:
            history = _epochs(
                settings, scheme, data, test, validation, epoch_length, seed, device, checkpoint, processes
            )
    except (NotFinite, MemoryError, RuntimeError):  # the network of a trial is kept nevertheless
        scheme.finish()
        raise
    scheme.finish()
    if not history:  # the scheme trains nothing
        top1 = accuracies(network, test, processes)["top1"]
        history = [{"epoch": 0, "steps": 0, "learning_rate": 0.0, "loss": 0.0, "test_top1": top1, "kept": True}]
    return pd.DataFrame(history)


def _epochs(
    settings: Mapping[str, Any],
    scheme: Scheme,
    data: Labelled,
    test: Labelled,
    validation: Callable[[], Labelled | None],
    epoch_length: int,
    seed: int,
    device: torch.device,
    checkpoint: Checkpoint,
    processes: Processes,
) -> list[dict]:
    network, judged_by = scheme.network, settings["select_by"]
    epochs = last_epoch(settings["epochs"], settings["round"])
    best, judged = Best(), _judged(judged_by, validation)
    optimizer = _optimizer(settings, [weight for weight in scheme.parameters() if weight.requires_grad])
    training = Training(
        "classifier", checkpoint, network, settings["ema_decay"], scheme=scheme, optimizer=optimizer, best=best
    )
    scheme.trained_by(optimizer)
    if settings["compile"]:
        network.backbone.compile()
    model = DistributedDataParallel(scheme) if processes.count > 1 else scheme

    for epoch in _shown(range(len(training.history), epochs), epochs, processes):
        if best.is_stale(settings["patience"]):
            break
        rate = learning_rate(epoch, settings)
        for group in optimizer.param_groups:
            group["lr"] = rate
        scheme.train()
        processes.take_firsts_buffers(scheme)  # otherwise each would start with its own
        begun = len(training.recent)  # steps of this epoch that the checkpoint already has
        if not begun:
            scheme.start_epoch(epoch)
        if settings["frozen_batch_norm"]:
            _freeze_batch_norm(scheme)
        with contextlib.ExitStack() as until_the_end:
            loaders = [
                until_the_end.enter_context(
                    contextlib.closing(
                        batches(data, loader, place, epoch, epoch_length, seed, device, processes, begun)
                    )
                )
                for place, loader in enumerate(scheme.loaders)
            ]
            loss = torch.zeros((), device=device)
            for number, drawn in enumerate(zip(*loaders, strict=True), 1):
                random = np.random.default_rng(mixed_seed(seed, training.step, 0))
                share = drawn[0][1]  # a smaller part of the batch counts less
                steps = number % settings["accumulate"] == 0
                with contextlib.nullcontext() if steps or model is scheme else model.no_sync():
                    with torch.autocast(device.type, torch.bfloat16, enabled=settings["precision"] == "bfloat16"):
                        part = share * model([batch for batch, _ in drawn], epoch, random)
                    part.backward()
                loss = loss + part.detach()
                if not steps:
                    continue
                optimizer.step()
                optimizer.zero_grad()
                training.after_step(processes.mean(loss))
                loss = torch.zeros_like(loss)
                if processes.first:
                    # of several processes, none may leave the others: the end of the epoch ends them all
                    with contextlib.suppress(*([NotFinite] if processes.count > 1 else [])):
                        training.save_if_due()
        loss = training.take_losses().mean().item()
        processes.take_firsts_buffers(training.averaged)  # the averaged network is the one kept
        looks = (epoch + 1) % settings["test_every"] == 0 or epoch + 1 == epochs
        top1 = accuracies(training.averaged, test, processes)["top1"] if looks else math.nan
        row = {"epoch": epoch + 1, "steps": training.step, "learning_rate": rate, "loss": loss, "test_top1": top1}
        if judged is not None:
            row[judged_by] = math.nan
            if looks:
                found = accuracies(training.averaged, judged, processes)
                row[judged_by] = found[judged_by.removeprefix("val_")]
                best.look(training.averaged, epoch + 1, row[judged_by], found["top1"])
        training.history.append(row)
    if processes.first:
        training.save()
    network.load_state_dict(training.averaged.state_dict())
    if judged is not None:
        best.restore(network)
    kept = best.epoch or len(training.history)
    return [row | {"kept": row["epoch"] == kept} for row in training.history]


def _judged(judged_by: str, validation: Callable[[], Labelled | None]) -> Labelled | None:
    """The validation split, if an epoch is chosen on it. Raises InputError if it has no pictures, or no groups to choose by."""
    if judged_by == "last":
        return None
    found = validation()
    if found is None:
        raise InputError(f"select_by is {judged_by}, but the data set has no validation split; set select_by: last")
    if judged_by == "val_worst_group" and not (found.groups >= 0).any():
        raise InputError(
            f"select_by is {judged_by}, but the validation split has no groups; set select_by: val_top1, or last"
        )
    return found


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
    training_data = TrainingData(
        counts=torch.bincount(of_prior, minlength=classes),
        generated_pictures=int(data.generated.sum()),
        once=lambda split, epoch, views: once(
            data if split == "train" else validation(), views, epoch, seed, settings["batch_size"], device, processes
        ),
        by_class=lambda: ByClass(data, classes, seed, device),
        processes=processes,
        contexts=data.contexts,
    )
    return kinds.load("classifiers.schemes", settings["scheme"]).build(settings, network, training_data).to(device)


def _optimizer(settings: Mapping[str, Any], weights: list[nn.Parameter]) -> torch.optim.Optimizer:
    rate, decay = settings["learning_rate"], settings["weight_decay"]
    if settings["optimizer"] == "adamw":
        return torch.optim.AdamW(weights, rate, weight_decay=decay)
    return torch.optim.SGD(weights, rate, settings["momentum"], weight_decay=decay, nesterov=settings["nesterov"])


def _freeze_batch_norm(scheme: Scheme) -> None:
    for module in scheme.modules():
        if isinstance(module, BATCH_NORMS):
            module.eval()


def _shown(epochs: range, total: int, processes: Processes) -> Iterator[int]:
    return progress(epochs, "training classifier", total, epochs.start, "epoch") if processes.first else iter(epochs)
