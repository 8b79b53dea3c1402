"""The pictures of a plan's rows, as pixels. A picture that is not of finite numbers, or flagged, is drawn again with another seed."""

from collections.abc import Iterator
from typing import Protocol

import numpy as np
import pandas as pd

from pipeline.errors import InputError
from pipeline.seeds import mixed_seed

ATTEMPTS = 5
"""Draws of a picture before its generator counts as broken."""
FLAGGED = np.inf
"""Every value of a picture that a safety checker flags."""


class Sampler(Protocol):
    """What each generator has."""

    def draw(self, rows: pd.DataFrame) -> Iterator[np.ndarray]:
        """Pictures of rows of the plan in order, in batches: [B, H, W, 3], or [B, H, W] for grey ones.

        They are uint8, or float32 in 0..255 that may hold NaN or FLAGGED. A picture depends only on its row of the plan.

        A sampler may also have `redraw`, which is called in place of `draw` after a draw with NaN.
        """


def drawn(sampler: Sampler, rows: pd.DataFrame) -> Iterator[np.ndarray]:
    """Draw the pictures of rows of the plan, in order, in the sampler's batches.

    A batch is a structured array [B]: `picture`, uint8 [H, W, 3] or [H, W], `redrawn`, whether a draw had NaN, and `flagged`,
    whether a draw was flagged. The seed of a further draw follows from the row's own, so a row has one picture, whatever the
    batch. Raises InputError if `ATTEMPTS` draws of a picture have NaN or are flagged.
    """
    done = 0
    redraw = getattr(sampler, "redraw", sampler.draw)
    for pictures in sampler.draw(rows):
        batch = rows.iloc[done : done + len(pictures)]
        done += len(pictures)
        piece = np.zeros(
            len(pictures), [("picture", np.uint8, pictures.shape[1:]), ("redrawn", bool), ("flagged", bool)]
        )
        broken, flagged = _faults(pictures)
        for attempt in range(1, ATTEMPTS):
            piece["redrawn"] |= broken
            piece["flagged"] |= flagged
            for failed, draw in ((broken, redraw), (flagged, sampler.draw)):
                if failed.any():
                    seeds = [mixed_seed(seed, attempt) >> 1 for seed in batch["seed"][failed].tolist()]
                    pictures[failed] = np.concatenate(list(draw(batch[failed].assign(seed=seeds))))
            broken, flagged = _faults(pictures)
        if broken.any():
            raise InputError(
                f"a picture of class {batch['class'][broken].iloc[0]} was drawn {ATTEMPTS} times, each time with values "
                "that are not finite numbers; lower the pool's guidance, or train the generator with a lower learning_rate"
            )
        if flagged.any():
            raise InputError(
                f"a picture of class {batch['class'][flagged].iloc[0]} was drawn {ATTEMPTS} times, each time flagged by "
                "the safety checker; change the prompts, or remove the generator's safety_checker"
            )
        piece["picture"] = np.rint(pictures)
        yield piece


def _faults(pictures: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Whether each picture is not of finite numbers, and whether it is flagged, both bool [B]."""
    inside = tuple(range(1, pictures.ndim))
    flagged = (pictures == FLAGGED).all(axis=inside)
    return ~np.isfinite(pictures).all(axis=inside) & ~flagged, flagged
