"""What a job has that trains a share of the classes of a generator."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from pipeline.jobs.checkpoint import Checkpoint, Pieces


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
