"""filters: selections from a pool. They write decisions and copy no pictures."""

import re
from collections.abc import Mapping
from math import inf
from typing import Any, ClassVar

from pydantic import Field, field_validator, model_validator

from pipeline.config.parts import Part, Reference, RunPart
from pipeline.config.pools import FillTo, adjoining, check_range

_CONDITION = re.compile(r"(\w+)\s*(>=|<=|>|<)\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)")


class Filter(RunPart):
    """Keep the pictures that meet every condition."""

    pool: str | None = None
    """The pool to select from without scores."""
    scores: str | None = None
    """The scores to select by, instead of `pool`."""
    keep: str = "all"
    """`all`, or conditions on scores joined by `and`: "d3 >= 5e-7 and d1 <= 3500"."""
    first: int | None = Field(default=None, ge=1)
    """Use at most this many of the kept pictures of a class, or of a group of a pool of groups, in the order of the plan."""
    fill_to: FillTo = None
    """Use only as many pictures as fill a class, or a group, to this many, including real ones; `max` is the largest class."""
    top_up: bool | str = False
    """Where too few pictures of a class meet the conditions, take the best others: `true`, or the score to judge them by."""
    fill_range: tuple[float, float] = (0.0, 1.0)
    """The part of each class's pictures, or group's, and of their surplus, to select from; filters with adjoining ranges add up."""
    highest: str | None = Field(default=None, min_length=1)
    """Of the pictures that meet the conditions, take those with the highest of this score, and not the first ones of the plan."""

    references: ClassVar[dict[str, Reference]] = {
        "pool": Reference("pools", {"indices": "index"}),
        "scores": Reference("scores", {"scores": "scores", "indices": "index"}),
    }

    @field_validator("keep")
    @classmethod
    def _is_expression(cls, keep: str) -> str:
        conditions(keep)
        return keep

    @model_validator(mode="after")
    def _one_source(self) -> "Filter":
        if (self.pool is None) == (self.scores is None):
            raise ValueError("exactly one of pool and scores must be given")
        if self.scores is None and self.keep != "all":
            raise ValueError(f"keep is '{self.keep}', but the filter has no scores; give scores, or keep: all")
        if self.scores is None and self.top_up:
            raise ValueError("top_up is for pictures that scores reject; give scores, or remove top_up")
        if self.scores is None and self.highest:
            raise ValueError(f"highest is {self.highest}, but the filter has no scores; give scores, or remove highest")
        check_range(self.fill_range)
        self._topped_up_by()
        return self

    def check(self, parts: Mapping[str, Mapping[str, Part]]) -> None:
        limits = (self.first, self.fill_to, parts["pools"][self.pool_of(parts)].surplus or None)
        if (self.top_up or self.highest) and limits == (None, None, None):
            raise ValueError(
                f"{'top_up' if self.top_up else 'highest'} would keep every picture, because {self.pool_of(parts)} has no surplus; "
                "give the pool a surplus, or the filter a `fill_to`"
            )
        available = parts["scores"][self.scores].columns() if self.scores else {}
        if self.highest and self.highest not in available:
            raise ValueError(f"highest is '{self.highest}', but scores.{self.scores} has only {', '.join(available)}")
        for score, _, threshold in conditions(self.keep):
            if score not in available:
                raise ValueError(f"keep is '{self.keep}', but scores.{self.scores} has only {', '.join(available)}")
            least, greatest = available[score]
            if not least <= threshold <= greatest:
                allowed = f"be at least {least:g}" if greatest == inf else f"lie in {least:g}..{greatest:g}"
                raise ValueError(f"keep is '{self.keep}': the threshold of {score} must {allowed}")

    def overlaps(self, other: "Filter", parts: Mapping[str, Mapping[str, Part]]) -> bool:
        """Whether both may select some of the same pictures."""
        pools = [each.pool_of(parts) for each in (self, other)]
        if pools[0] == pools[1]:
            return not adjoining(self.fill_range, other.fill_range)
        return parts["pools"][pools[0]].overlaps(parts["pools"][pools[1]])

    def pool_of(self, parts: Mapping[str, Mapping[str, Part]]) -> str:
        """The pool that the filter selects from."""
        return self.pool or parts["scores"][self.scores].pool

    def selecting_settings(self, parts: Mapping[str, Mapping[str, Part]]) -> dict[str, Any]:
        """Settings of the stage `select`."""
        own = self.model_dump(mode="json", include={"fill_range", "first", "fill_to", "highest"})
        cells = parts["pools"][self.pool_of(parts)].cells
        return own | {"keep": conditions(self.keep), "top_up": self._topped_up_by(), "cells": cells}

    def _topped_up_by(self) -> str | None:
        """The score by which rejected pictures are taken, or None. Raises ValueError if that is not one score of `keep`."""
        if self.top_up is False or not conditions(self.keep):  # nothing is rejected
            return None
        given = "true" if self.top_up is True else f"'{self.top_up}'"
        named = [score for score, _, _ in conditions(self.keep) if self.top_up in (True, score)]
        if len(named) != 1:
            raise ValueError(
                f"top_up is {given}, but keep has {len(named)} conditions that it may mean: '{self.keep}'; name a score with "
                "one condition"
            )
        return named[0]


def conditions(keep: str) -> list[list]:
    """[score, comparison, threshold] of every condition in a `keep` expression; none for `all`."""
    if keep.strip() == "all":
        return []
    found = [_CONDITION.fullmatch(part.strip()) for part in keep.split(" and ")]
    if not all(found):
        raise ValueError(f"keep is '{keep}'; write 'all' or conditions like 'd3 >= 5e-7 and d1 <= 3500'")
    return [[match[1], match[2], float(match[3])] for match in found]
