"""Learn low-rank changes of a U-Net's attention, one class after the other, or for all classes at once.

The loss is that of the model's own training, with the classes' names in the texts, as in DataDream (Kim et al. 2024).
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from pipeline.data.readable import readable
from pipeline.errors import InputError
from pipeline.generators.adapting import Job
from pipeline.generators.denoiser import Denoiser
from pipeline.generators.lora import adapter
from pipeline.generators.step_draws import drawn
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
    units = [(label, f"{label:05d}") for label in job.classes.tolist()]
    if settings["per"] == "dataset":
        units = [(-1, "all")][: len(job.classes)]
    state = job.checkpoint.load() or {"done": {}}
    rows, written = [], []
    for label, name in units:
        path = job.output / f"{name}.safetensors"
        if name not in state["done"] or not path.is_file():
            own = np.flatnonzero(labels == label) if label >= 0 else np.arange(len(labels))
            begun = state if state.get("name") == name else {"done": state["done"]}
            state["done"][name] = _learned(settings, job, denoiser, label, name, own, begun, path)
        written.append(path)
        members = [label] if label >= 0 else job.classes.tolist()
        rows += [(one, job.names[one], settings["steps"], state["done"][name]) for one in members]
    job.checkpoint.save({"done": state["done"]})
    table = pd.DataFrame(rows, columns=["class", "class_name", "step", "loss"])
    return table.astype({"class": "int32", "step": "int32", "loss": "float64"}), written


def about(settings: Mapping[str, Any]) -> dict[str, Any]:
    """What a sampler must know of the changes."""
    return {"per": settings["per"]}


def _learned(
    settings: Mapping[str, Any],
    job: Job,
    denoiser: Denoiser,
    label: int,
    name: str,
    own: np.ndarray,
    state: Mapping[str, Any],
    path: Path,
) -> float:
    """Learn from the pictures at the positions `own`, save the changes, and return the mean loss of the last steps."""
    unet, steps, seed = denoiser.unet, settings["steps"], label + 1  # of no class: 0
    texts = _texts(denoiser, settings["templates"], job, [label] if label >= 0 else job.classes.tolist())
    torch.manual_seed(mixed_seed(settings["seed"], seed))
    weights = adapter.add(unet, settings["rank"])
    optimizer = torch.optim.AdamW(weights, settings["learning_rate"], weight_decay=settings["weight_decay"])
    recent, start = [], state.get("step", 0)
    if start:
        adapter.load_state(unet, state["changes"])
        optimizer.load_state_dict(state["optimizer"])
        recent = [loss.to(job.device) for loss in state["recent"]]
        print(f"continuing at step {start} of {name} from {job.checkpoint.path}", flush=True)
    classes = torch.from_numpy(job.real["class"].to_numpy("int64", copy=True))
    for step in progress(range(start, steps), f"learning {name}", steps, start):
        draws = drawn(settings, seed, step, len(own), denoiser.shape(len(settings["templates"])))
        rows = torch.from_numpy(own)[draws.pictures]
        hidden = torch.stack([texts[one][text] for one, text in zip(classes[rows].tolist(), draws.texts, strict=True)])
        loss = denoiser.losses(draws, rows, hidden).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        recent = [*recent, loss.detach()][-LOG_STEPS:]
        if ((step + 1) % LOG_STEPS == 0 or step + 1 == steps) and not torch.stack(recent).isfinite().all():
            what = job.names[label] if label >= 0 else "the data set"
            raise InputError(f"the loss of {what} is not a finite number before step {step + 1}; lower learning_rate")
        if job.checkpoint.due():
            now = {"name": name, "step": step + 1, "changes": adapter.state_of(unet), "recent": recent}
            job.checkpoint.save({"done": state["done"], "optimizer": optimizer.state_dict()} | now)
    adapter.save(unet, path)
    adapter.remove(unet)
    return torch.stack(recent).double().mean().item()


@torch.inference_mode()
def _texts(denoiser: Denoiser, templates: Sequence[str], job: Job, labels: Sequence[int]) -> dict[int, torch.Tensor]:
    """Hidden states of the templates with the name of each class, float [texts, T, W]."""
    found = {}
    for label in labels:
        texts = [template.format(**{"class": readable(job.names[label])}) for template in templates]
        found[label] = denoiser.encoded(texts)
    return found
