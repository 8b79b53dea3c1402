"""Prompts, one module per kind: each has `texts(settings, job)`, which gives (class name, prompt, origin) of every prompt."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pipeline.jobs.inputs import Inputs


class Job(NamedTuple):
    """What a kind has to work with."""

    names: Sequence[str]
    """Names of the classes, in the order of the labels."""
    manifest: Path
    """The subset's table of pictures."""
    inputs: Inputs
    """The files that the kind reads, by name."""
    continued: Callable[[Callable[[int], Iterator[np.ndarray]]], Iterator[np.ndarray]]
    """`continued` of the job's pieces: pipeline/jobs/checkpoint.py."""
