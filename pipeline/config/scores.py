"""scores: numbers for every picture of a pool, by which filters decide."""

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field

from pipeline.config.datasets import Dataset
from pipeline.config.parts import Part


class Scores(Part):
    """DiffuLT's metrics (Sec. 3.3) of a pool under a classifier f0."""

    samples: str
    by: str
    """The classifier f0."""
    by_seed: int = Field(default=0, ge=0, le=2**32 - 1)
    metrics: tuple[Literal["d1", "d2", "d3"], ...] = Field(default=("d1", "d2", "d3"), min_length=1)

    references: ClassVar[dict[str, str]] = {"samples": "samples", "by": "classifiers"}

    def check_on(self, dataset: Dataset, parts: Mapping[str, Mapping[str, Part]]) -> None:
        parts["classifiers"][self.by].require_side(self.by, self.samples, dataset, parts)

    def settings(self) -> dict:
        return {"metrics": sorted(set(self.metrics))}
