"""The pictures of a plan's rows, as pixels. A picture that is not of finite numbers is drawn again with another seed."""

from collections.abc import Iterator
from typing import Protocol

import numpy as np
import pandas as pd

from pipeline.errors import InputError
from pipeline.seeds import mixed_seed

ATTEMPTS = 5
"""Draws of a picture before its generator counts as broken."""


class Sampler(Protocol):
    """What each generator has."""

    def draw(self, rows: pd.DataFrame) -> Iterator[np.ndarray]:
        """Pictures of rows of the plan in order, in batches: [B, H, W, 3], or [B, H, W] for grey ones.

        They are uint8, or float32 in 0..255 that may hold NaN. A picture depends only on the class and seed of its row.
        """


def drawn(sampler: Sampler, rows: pd.DataFrame) -> Iterator[np.ndarray]:
    """Draw the pictures of rows of the plan, in order, in the sampler's batches.

    A batch is a structured array [B]: `picture`, uint8 [H, W, 3] or [H, W], and `redrawn`, whether the first draw was not
    finite. The seed of a further draw follows from the row's own, so a row has one picture, whatever the batch. Raises
    InputError if `ATTEMPTS` draws of a picture are not finite.
    """
    done = 0
    for pictures in sampler.draw(rows):
        batch = rows.iloc[done : done + len(pictures)]
        done += len(pictures)
        redrawn = np.zeros(len(pictures), bool)
        for attempt in range(1, ATTEMPTS):
            failed = ~_finite(pictures)
            if not failed.any():
                break
            redrawn |= failed
            seeds = [mixed_seed(seed, attempt) >> 1 for seed in batch["seed"][failed].tolist()]
            pictures[failed] = np.concatenate(list(sampler.draw(batch[failed].assign(seed=seeds))))
        if not (finite := _finite(pictures)).all():
            raise InputError(
                f"a picture of class {batch['class'][~finite].iloc[0]} was drawn {ATTEMPTS} times, each time with values "
                "that are not finite numbers; lower the pool's guidance, or the generator's learning_rate"
            )
        piece = np.empty(len(pictures), [("picture", np.uint8, pictures.shape[1:]), ("redrawn", bool)])
        piece["picture"], piece["redrawn"] = np.rint(pictures), redrawn
        yield piece


def _finite(pictures: np.ndarray) -> np.ndarray:
    """Whether all values of each picture are finite, bool [B]."""
    return np.isfinite(pictures).all(axis=tuple(range(1, pictures.ndim)))
