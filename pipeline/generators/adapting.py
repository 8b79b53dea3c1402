"""Trainings that go class by class: what a job has that trains a share of the classes, and what a sampler reads of all."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch

from pipeline.artifacts import made, shards
from pipeline.errors import InputError
from pipeline.foundations.table import identity
from pipeline.jobs.checkpoint import Checkpoint, Pieces
from pipeline.jobs.inputs import Inputs, only


class Job(NamedTuple):
    """One shard of a training that goes class by class."""

    foundation: Path
    """The table of the model that learns."""
    real: pd.DataFrame
    """The real training pictures of the job's classes: rows of a manifest, sorted by class and key."""
    folder: Path
    """The manifest's folder."""
    classes: np.ndarray
    """The job's classes, int64, in order. Each has pictures."""
    names: np.ndarray
    """Names of all classes, object [C]."""
    device: torch.device
    checkpoint: Checkpoint
    """The state of the training."""
    pieces: Pieces
    """What the job has computed from the pictures."""
    output: Path
    """Folder for the trained files."""


class Learned(NamedTuple):
    """What was learned of all classes."""

    folders: dict[int, Path]
    """Class -> folder of its files."""
    about: dict[str, Any]
    """What the training's module says to the sampler."""


def learned(inputs: Inputs) -> Learned:
    """What the table `generator` lists. Raises InputError if it was learned with another model than `foundation`."""
    path, foundation = only(inputs, "generator"), only(inputs, "foundation")
    about = made.about(path)
    if about.get("foundation") != identity(foundation):
        raise InputError(f"{path.parent} was learned with another model than {foundation}; learn it again")
    states = shards.read_table(path, ["class", "folder"])
    folders = dict(zip(states["class"].tolist(), (path.parent / name for name in states["folder"]), strict=True))
    return Learned(folders, about)
