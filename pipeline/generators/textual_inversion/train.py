"""Learn vectors for many classes at once (Gal et al. 2022; Fill-Up, Eq. 2 and appendix B.3).

Classes share the passes of the networks and nothing else: each has its own draws, optimizer and number of steps, and the loss is
the sum of the classes' means. So the vectors of a class do not depend on the classes beside it, but for rounding.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline.errors import InputError
from pipeline.generators.adapting import Job
from pipeline.generators.textual_inversion import files
from pipeline.generators.textual_inversion.learning import Learning
from pipeline.generators.textual_inversion.model import Model
from pipeline.generators.textual_inversion.steps import steps_of
from pipeline.jobs.progress import progress


def train(settings: Mapping[str, Any], job: Job) -> tuple[pd.DataFrame, list[Path]]:
    """Learn the vectors of the job's classes; return a table and the files of the vectors (files.py).

    The table has a row for each class and step after which its vectors were kept: class, class_name, step, and loss, the mean since
    the last such step. A class whose loss or vectors are not finite ends there, which is printed, and the others go on. Continues from
    the checkpoint; the same settings give the same vectors on a CPU, continued or not. Raises InputError if the model does not fit,
    a text has no place for the vectors, or a class has no finite vectors at all.
    """
    model = Model(settings, job)
    counts = job.real["class"].value_counts()
    steps = steps_of(settings, counts.loc[job.classes].to_numpy())
    learning = [
        Learning(label, counts[label], number, model.initial(job.names[label]), settings)
        for label, number in zip(job.classes.tolist(), steps.tolist(), strict=True)
    ]
    if state := job.checkpoint.load():
        for one in learning:
            one.load(state[one.label])
        print(f"continuing at step {_done(learning)} of all classes from {job.checkpoint.path}", flush=True)
    # the longest first, so that the last passes are no smaller than they must be
    waiting = sorted(learning, key=lambda one: (-one.steps, one.label))
    model.denoiser.encode()
    for _ in progress(
        _passes(model, waiting, settings, job), "learning vectors", int(steps.sum()), _done(learning), "step"
    ):
        pass
    job.checkpoint.save({one.label: one.state() for one in learning})
    return _saved(settings, job, learning)


def about(settings: Mapping[str, Any]) -> dict[str, Any]:
    """What a sampler must know of the vectors."""
    return {name: settings[name] for name in ("placeholder", "vectors")}


def _passes(model: Model, waiting: Sequence[Learning], settings: Mapping[str, Any], job: Job) -> Iterator[None]:
    """Train until all classes have ended; gives one item for each step of each class."""
    while active := [one for one in waiting if not one.ended][: settings["classes_at_once"]]:
        losses = model.losses(active)
        losses.sum().backward()
        for one, loss in zip(active, losses, strict=True):
            one.take(loss)
            if one.diverged:
                last = f"of step {max(one.kept)} are the last good ones" if one.kept else "were never kept"
                print(
                    f"the vectors of {job.names[one.label]} diverged before step {one.step}; those {last}. The other classes"
                    " go on; a lower learning_rate may help",
                    flush=True,
                )
            yield
        if job.checkpoint.due():
            job.checkpoint.save({one.label: one.state() for one in waiting})


def _done(learning: Sequence[Learning]) -> int:
    return sum(one.step for one in learning)


def _saved(settings: Mapping[str, Any], job: Job, learning: Sequence[Learning]) -> tuple[pd.DataFrame, list[Path]]:
    if lost := [job.names[one.label] for one in learning if not one.kept]:
        more = f" and of {len(lost) - 1} more classes" if lost[1:] else ""
        raise InputError(
            f"the vectors of {lost[0]}{more} were not finite numbers after {settings['checkpoint_steps']} steps; lower "
            "learning_rate"
        )
    rows, written = [], []
    for one in learning:
        written += files.save(job.output, one.label, settings["placeholder"], one.kept)
        rows += [(one.label, job.names[one.label], step, loss) for step, loss in one.losses.items()]
    table = pd.DataFrame(rows, columns=["class", "class_name", "step", "loss"])
    return table.astype({"class": "int32", "step": "int32", "loss": "float64"}), written
