"""qualities: metrics of a whole pool, under a named feature extractor."""

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field, model_validator

from pipeline.config.datasets import Dataset
from pipeline.config.parts import REAL, Part, Reference, RunPart


class Quality(RunPart):
    """Fréchet distance of a pool to the real pictures, and the formula of the inception score.

    The real pictures are the training split and, if `rest` keeps them, those that the long tail left out.
    """

    pool: str
    """The pool that is measured."""
    scorer: str | None = None
    """A classifier trained on real pictures; the metrics are fd_scorer and is_scorer."""
    inception_weights: str | None = None
    """Instead of `scorer`: a local file with torch-fidelity's Inception v3 weights; the metrics are fid and is."""
    scorer_seed: int = Field(default=0, ge=0, le=2**32 - 1)
    """Which of the scorer's seeds."""
    splits: int = Field(default=10, ge=1)
    """Parts over which the inception score is averaged (Salimans et al. 2016 use 10)."""

    references: ClassVar[dict[str, Reference]] = {
        "pool": Reference("pools", {"indices": "index", "pictures": "pictures"}),
        "scorer": Reference("classifiers", {"weights": "weights"}, seed="scorer_seed"),
    }

    files: ClassVar[tuple[str, ...]] = ("inception_weights",)

    @model_validator(mode="after")
    def _one_extractor(self) -> "Quality":
        if (self.scorer is None) == (self.inception_weights is None):
            raise ValueError("exactly one of scorer and inception_weights must be given")
        return self

    def check(self, parts: Mapping[str, Mapping[str, Part]]) -> None:
        name = self.scorer
        while name:  # the scorer, and the classifiers that it started from
            classifier = parts["classifiers"][name]
            if classifier.data != (REAL,):
                raise ValueError(
                    f"scorer is '{self.scorer}', but {name} trains on generated pictures; it must have data: [real]"
                )
            name = classifier.init

    def check_on(self, dataset: Dataset, parts: Mapping[str, Mapping[str, Part]]) -> None:
        if self.scorer:
            parts["classifiers"][self.scorer].require_side(self.scorer, self.pool, dataset, parts)

    def settings(self) -> dict[str, Any]:
        return self.model_dump(mode="json", include={"splits", "inception_weights"})
