"""Prompts for the rows of a plan, with a few blocks of a large table in memory."""

import functools
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from pipeline.artifacts import shards
from pipeline.data.readable import readable
from pipeline.errors import InputError

CONTEXT = "{context}"
"""The place of a picture's context in its prompt."""


class PromptTable:
    """A `prompts.parquet`, sorted by class."""

    def __init__(self, path: Path):
        classes = shards.read_table(path, ["class"])["class"].to_numpy()
        self._counts = np.bincount(classes)
        self._starts = np.cumsum(self._counts) - self._counts
        file = pq.ParquetFile(path, memory_map=True)
        self._ends = np.cumsum([file.metadata.row_group(group).num_rows for group in range(file.num_row_groups)])
        self._texts = functools.lru_cache(maxsize=2)(
            lambda group: file.read_row_group(group, ["text"]).column("text").to_pandas().to_numpy(object)
        )

    def of(self, classes: np.ndarray, indices: np.ndarray) -> np.ndarray:
        """The prompt of each picture, object [N]: those of a class take turns, by the picture's index within it."""
        rows = self._starts[classes] + indices % self._counts[classes]
        groups = np.searchsorted(self._ends, rows, side="right")
        found = np.empty(len(rows), object)
        for group in np.unique(groups):
            here = groups == group
            texts = self._texts(int(group))
            found[here] = texts[rows[here] - (self._ends[group] - len(texts))]
        return found


def in_contexts(prompts: np.ndarray, contexts: pd.Series | None) -> np.ndarray:
    """Prompts, object [N], with each picture's context in its place: LDM-FG's "label in context" (Sec. 4.2).

    Raises InputError if prompts have a place for it, but the pictures have no contexts.
    """
    if contexts is not None:
        pairs = zip(prompts, contexts, strict=True)
        return np.array([prompt.replace(CONTEXT, readable(context)) for prompt, context in pairs], object)
    if wanting := next((prompt for prompt in prompts if CONTEXT in prompt), None):
        raise InputError(
            f"the prompt '{wanting}' has a place for a context, but the pool's cells have none; set cells: group of a data set with"
            " contexts, or name other prompts"
        )
    return prompts
