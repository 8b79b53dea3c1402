"""filters: which pictures of a pool are used. They write decisions and copy no pictures."""

import re
from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field, field_validator, model_validator

from pipeline.config.parts import Part

_CONDITION = re.compile(r"(\w+)\s*(>=|<=|>|<)\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)")


class Filter(Part):
    """Keep the pictures that meet every condition."""

    samples: str | None = None
    """A whole pool, unscored; or:"""
    scores: str | None = None
    keep: str = "all"
    """`all`, or conditions on scores joined by `and`: "d3 >= 5e-7 and d1 <= 3500"."""
    first: int | None = Field(default=None, ge=1)
    """Use at most this many of the kept pictures of a class, in the order of the plan."""

    references: ClassVar[dict[str, str]] = {"samples": "samples", "scores": "scores"}

    @field_validator("keep")
    @classmethod
    def _is_expression(cls, keep: str) -> str:
        for metric, _, threshold in conditions(keep):
            if threshold < 0:
                raise ValueError(f"keep is '{keep}': the threshold of {metric} must not be negative")
            if metric == "d3" and threshold > 1:
                raise ValueError(f"keep is '{keep}': d3 is a probability, so its threshold must lie in 0..1")
        return keep

    @model_validator(mode="after")
    def _one_source(self) -> "Filter":
        if (self.samples is None) == (self.scores is None):
            raise ValueError("exactly one of samples and scores must be given")
        if self.scores is None and self.keep != "all":
            raise ValueError(f"keep is '{self.keep}', which needs scores; a filter of bare samples keeps all")
        return self

    def check(self, parts: Mapping[str, Mapping[str, Part]]) -> None:
        available = parts["scores"][self.scores].metrics if self.scores else ()
        for metric, _, _ in conditions(self.keep):
            if metric not in available:
                raise ValueError(f"keep is '{self.keep}', but scores.{self.scores} has {', '.join(available)} only")

    def pool(self, parts: Mapping[str, Mapping[str, Part]]) -> str:
        """The samples that the filter decides about."""
        return self.samples or parts["scores"][self.scores].samples

    def settings(self) -> dict[str, Any]:
        return {"keep": conditions(self.keep), "first": self.first}


def conditions(keep: str) -> list[list]:
    """[metric, comparison, threshold] of every condition in a `keep` expression; none for `all`."""
    if keep.strip() == "all":
        return []
    found = [_CONDITION.fullmatch(part.strip()) for part in keep.split(" and ")]
    if not all(found):
        raise ValueError(f"keep is '{keep}'; write 'all' or conditions like 'd3 >= 5e-7 and d1 <= 3500'")
    return [[match[1], match[2], float(match[3])] for match in found]
