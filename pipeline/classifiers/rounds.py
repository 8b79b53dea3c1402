"""Rounds of one training, which goes on with more generated pictures each time (Deliberate Practice, Askari-Hemmat et al. 2025).

A round is (number from 1, how many there are), or None for a training that is whole.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pipeline.artifacts.made import checked_digest
from pipeline.errors import InputError

STATE = "state.pt"
"""The state in which a round ends, unless it is the last one."""


def last_epoch(epochs: int, round_: Sequence[int] | None) -> int:
    """Number of epochs, of `epochs` in all, that are done when a round ends: each round has an equal share, rounded up."""
    if round_ is None:
        return epochs
    number, count = round_
    return -(-epochs * number // count)


def of_all_rounds(pictures: int, round_: Sequence[int] | None) -> int:
    """Number of pictures of all rounds, if those so far are `pictures`: each round has an equal share, rounded up."""
    if round_ is None:
        return pictures
    number, count = round_
    return -(-pictures * count // number)


def is_last(round_: Sequence[int] | None) -> bool:
    """Whether no other round goes on with the training."""
    return round_ is None or round_[0] == round_[1]


def start(history: Path) -> dict[str, Any]:
    """The state that a round begins with: the one that the round before left beside its `history`, without its best epoch.

    Raises InputError if it is missing or damaged.
    """
    import torch

    from pipeline.classifiers.best import Best

    state = history.with_name(STATE)
    if not state.exists():
        raise InputError(f"{state} is missing; delete {history}, so that the round is trained again, or restore a copy")
    checked_digest(state)
    found = torch.load(state, map_location="cpu", weights_only=True)
    return found | {"best": Best().state_dict()}
