"""qualities: how good a pool is as a whole, under a named feature extractor."""

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field, model_validator

from pipeline.config.datasets import Dataset
from pipeline.config.parts import REAL, Part


class Quality(Part):
    """Fréchet distance to the training pictures and, where `rest` keeps it, what the long tail left out; the inception-score formula."""

    samples: str
    by: str | None = None
    """The classifier f0, trained on real pictures: the figures are called fd_f0 and is_f0. Or:"""
    inception_weights: str | None = None
    """A local file with torch-fidelity's Inception v3 weights: the figures are called fid and is."""
    by_seed: int = Field(default=0, ge=0, le=2**32 - 1)
    splits: int = Field(default=10, ge=1)
    """Parts over which the inception score is averaged (Salimans et al. 2016 use 10)."""

    references: ClassVar[dict[str, str]] = {"samples": "samples", "by": "classifiers"}

    @model_validator(mode="after")
    def _one_extractor(self) -> "Quality":
        if (self.by is None) == (self.inception_weights is None):
            raise ValueError("exactly one of by and inception_weights must be given")
        return self

    def check(self, parts: Mapping[str, Mapping[str, Part]]) -> None:
        name = self.by
        while name:  # f0, and what it started from
            classifier = parts["classifiers"][name]
            if classifier.data != (REAL,):
                raise ValueError(f"by is '{self.by}', but {name} saw generated pictures; f0 must have data: [real]")
            name = classifier.init

    def check_on(self, dataset: Dataset, parts: Mapping[str, Mapping[str, Part]]) -> None:
        if self.by:
            parts["classifiers"][self.by].require_side(self.by, self.samples, dataset, parts)

    def settings(self) -> dict[str, Any]:
        return self.model_dump(mode="json", include={"splits", "inception_weights"})
