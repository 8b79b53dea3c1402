"""Learn low-rank changes of a U-Net's attention, one class after the other, or for all classes at once.

The loss is that of the model's own training, with the classes' names in the texts, as in DataDream (Kim et al. 2024).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch

from pipeline.artifacts.digests import digest
from pipeline.data.readable import readable
from pipeline.errors import InputError
from pipeline.generators.adapting import Job
from pipeline.generators.denoiser import Denoiser
from pipeline.generators.lora import adapter
from pipeline.generators.step_draws import drawn
from pipeline.generators.text_to_image.stable_diffusion import limit
from pipeline.jobs.progress import progress
from pipeline.seeds import mixed_seed

LOG_STEPS = 100


def train(settings: Mapping[str, Any], job: Job) -> tuple[pd.DataFrame, list[Path]]:
    """Learn the changes of the job's classes; return a table and their files, `<class>.safetensors` or `all.safetensors`.

    The table has a row for each class: class, class_name, step, and loss, the mean of the last steps. Continues from the checkpoint;
    the same settings give the same weights on a CPU, continued or not. Raises InputError if the model does not fit, or if a loss is
    not finite.
    """
    denoiser = Denoiser(settings, job)
    denoiser.encode()
    labels = job.real["class"].to_numpy()
    units = [
        _Unit(f"{label:05d}", job.names[label], label + 1, [label], np.flatnonzero(labels == label))
        for label in job.classes.tolist()
    ]
    if settings["per"] == "dataset" and units:
        units = [_Unit("all", "the data set", 0, job.classes.tolist(), np.arange(len(labels)))]
    state = job.checkpoint.load() or {"done": {}}
    rows, written = [], []
    for unit in units:
        path = job.output / f"{unit.file}.safetensors"
        loss, sha256 = state["done"].get(unit.file, (None, None))
        if not path.is_file() or digest(path) != sha256:  # another training may have written there since
            begun = state if state.get("name") == unit.file else {"done": state["done"]}
            loss = _learned(settings, job, denoiser, unit, begun, path)
            state["done"][unit.file] = loss, digest(path)
        written.append(path)
        rows += [(label, job.names[label], settings["steps"], loss) for label in unit.classes]
    job.checkpoint.save({"done": state["done"]})
    table = pd.DataFrame(rows, columns=["class", "class_name", "step", "loss"])
    return table.astype({"class": "int32", "step": "int32", "loss": "float64"}), written


def about(settings: Mapping[str, Any]) -> dict[str, Any]:
    """What a sampler must know of the changes."""
    return {"per": settings["per"]}


class _Unit(NamedTuple):
    """Classes that share their changes: one class, or all of the data set."""

    file: str
    """Name of its file, without the suffix."""
    name: str
    """For messages."""
    number: int
    """Its draws follow from it."""
    classes: list[int]
    rows: np.ndarray
    """Positions of its pictures among the job's, int64."""


def _learned(
    settings: Mapping[str, Any], job: Job, denoiser: Denoiser, unit: _Unit, state: Mapping[str, Any], path: Path
) -> float:
    """Learn and save the changes of a unit, and return the mean loss of the last steps."""
    unet, steps = denoiser.unet, settings["steps"]
    texts = _texts(denoiser, settings["templates"], job, unit.classes)
    torch.manual_seed(mixed_seed(settings["seed"], unit.number))
    weights = adapter.add(unet, settings["rank"])
    optimizer = torch.optim.AdamW(weights, settings["learning_rate"], weight_decay=settings["weight_decay"])
    recent, start = [], state.get("step", 0)
    if start:
        adapter.load_state(unet, state["changes"])
        optimizer.load_state_dict(state["optimizer"])
        recent = [loss.to(job.device) for loss in state["recent"]]
        print(f"continuing at step {start} of {unit.name} from {job.checkpoint.path}", flush=True)
    classes = torch.from_numpy(job.real["class"].to_numpy("int64", copy=True))
    for step in progress(range(start, steps), f"learning {unit.name}", steps, start):
        draws = drawn(settings, unit.number, step, len(unit.rows), denoiser.shape(len(settings["templates"])))
        rows = torch.from_numpy(unit.rows)[draws.pictures]
        hidden = torch.stack([texts[one][text] for one, text in zip(classes[rows].tolist(), draws.texts, strict=True)])
        loss = denoiser.losses(draws, rows, hidden).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        recent = [*recent, loss.detach()][-LOG_STEPS:]
        if ((step + 1) % LOG_STEPS == 0 or step + 1 == steps) and not torch.stack(recent).isfinite().all():
            raise InputError(
                f"the loss of {unit.name} is not a finite number before step {step + 1}; lower learning_rate"
            )
        if job.checkpoint.due():
            now = {"name": unit.file, "step": step + 1, "changes": adapter.state_of(unet), "recent": recent}
            job.checkpoint.save({"done": state["done"], "optimizer": optimizer.state_dict()} | now)
    adapter.save(unet, path)
    adapter.remove(unet)
    return torch.stack(recent).double().mean().item()


@torch.inference_mode()
def _texts(denoiser: Denoiser, templates: Sequence[str], job: Job, labels: Sequence[int]) -> dict[int, torch.Tensor]:
    """Hidden states of the templates with the name of each class, float [texts, T, W]."""
    found, most = {}, limit(denoiser.tokenizer, denoiser.text_encoder)
    for label in labels:
        texts = [template.format(**{"class": readable(job.names[label])}) for template in templates]
        if cut := sum(len(ids) > most for ids in denoiser.tokenizer(texts).input_ids):
            print(
                f"{cut} of {len(texts)} texts of {job.names[label]} are longer than the text encoder reads; their ends are cut",
                flush=True,
            )
        found[label] = denoiser.encoded(texts)
    return found
