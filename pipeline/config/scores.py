"""scores: numbers for every picture of a pool, used by filters. `kind` chooses the type."""

import math
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from pipeline.config.datasets import Dataset
from pipeline.config.parts import Part, Reference, RunPart
from pipeline.config.prompts import checked_template

OF_POOL = Reference("pools", {"index": "index", "pictures": "pictures"})


class Scores(RunPart):
    """Base of all scores. The module with the function `scores` is `pipeline.scores.<kind>`."""

    kind: str
    pool: str
    """The pool that is scored."""

    references: ClassVar[dict[str, Reference]] = {"pool": OF_POOL}

    def pool_of(self, parts: Mapping[str, Mapping[str, Part]]) -> str:
        return self.pool

    def columns(self) -> dict[str, tuple[float, float]]:
        """Name of each score -> its smallest and largest possible value."""
        raise NotImplementedError

    def modules(self) -> list[str]:
        return [f"scores.{self.kind}"]

    def settings(self) -> dict[str, Any]:
        return super().settings() | {"columns": list(self.columns())}


BESIDE_REAL = ("d1", "d2")
"""Metrics that compare with real pictures."""
METRICS: dict[str, tuple[float, float]] = {
    "d1": (0, math.inf),
    "d2": (0, math.inf),
    "d3": (0, 1),
    "entropy": (0, math.inf),
}
"""Metric under a classifier -> its range; the metric's module is `pipeline.scores.<metric>`."""


class ByClassifier(Scores):
    """Metrics of a pool under a classifier: those of DiffuLT (Sec. 3.3), and the entropy of its probabilities."""

    kind: Literal["classifier"] = "classifier"
    scorer: str
    """The classifier that scores (DiffuLT's f0)."""
    scorer_seed: int = Field(default=0, ge=0, le=2**32 - 1)
    """Which of the scorer's seeds."""
    metrics: tuple[str, ...] = Field(default=("d1", "d2", "d3"), min_length=1)
    """d1: distance of pixels, d2: of features, to the nearest real picture of the class; d3: probability of the class; entropy: how
    unsure the scorer is of the class."""

    references: ClassVar[dict[str, Reference]] = {
        "pool": OF_POOL,
        "scorer": Reference("classifiers", {"weights": "weights", "features": "features"}, seed="scorer_seed"),
    }

    @field_validator("metrics")
    @classmethod
    def _known(cls, metrics: tuple[str, ...]) -> tuple[str, ...]:
        if unknown := [metric for metric in metrics if metric not in METRICS]:
            raise ValueError(f"'{unknown[0]}' is not a metric; allowed: {', '.join(METRICS)}")
        return metrics

    def inputs_of(self, field: str) -> Mapping[str, str] | None:
        read = super().inputs_of(field)
        if field == "scorer" and not set(self.metrics) & set(BESIDE_REAL):
            return {name: output for name, output in read.items() if name == "weights"}
        return read

    def columns(self) -> dict[str, tuple[float, float]]:
        return {metric: METRICS[metric] for metric in METRICS if metric in self.metrics}

    def modules(self) -> list[str]:
        return [*super().modules(), *(f"scores.{metric}" for metric in self.columns())]

    def check_on(self, dataset: Dataset, parts: Mapping[str, Mapping[str, Part]]) -> None:
        parts["classifiers"][self.scorer].require_side(self.scorer, self.pool, dataset, parts)

    def settings(self) -> dict[str, Any]:
        return {"kind": self.kind, "columns": list(self.columns())}


class ByClip(Scores):
    """The probability of the class under CLIP, as in SAU's filter, which follows He et al. 2023.

    `clip` is the softmax of CLIP's similarities to the names of all C classes. `clip_times_classes` is C times that: with
    `keep: clip_times_classes > 1` in a filter, a picture stays if its class is likelier than by chance.
    """

    kind: Literal["clip"]
    foundation: str
    """A CLIP model in open_clip's format. OpenAI's weights need `quick_gelu: true` in its config."""
    template: str = "a photo of a {class}."
    """The sentence with the name of a class."""

    references: ClassVar[dict[str, Reference]] = {"pool": OF_POOL, "foundation": Reference("foundations")}

    @field_validator("template")
    @classmethod
    def _has_a_class(cls, template: str) -> str:
        return checked_template(template)

    def columns(self) -> dict[str, tuple[float, float]]:
        return {"clip": (0, 1), "clip_times_classes": (0, math.inf)}


class Copies(Scores):
    """How alike each picture is to the nearest real one, and a report of near duplicates, which a filter can drop."""

    kind: Literal["copies"]
    scorer: str | None = None
    """The classifier whose features are compared, beside pixels."""
    scorer_seed: int = Field(default=0, ge=0, le=2**32 - 1)
    """Which of the scorer's seeds."""
    foundation: str | None = None
    """Instead of `scorer`: a CLIP in open_clip's format."""
    alike: float = Field(default=0.95, gt=0, le=1)
    """The likeness from which on the report has a picture as a near duplicate."""

    references: ClassVar[dict[str, Reference]] = {
        "pool": OF_POOL,
        "scorer": Reference("classifiers", {"weights": "weights"}, seed="scorer_seed"),
        "foundation": Reference("foundations"),
    }

    @model_validator(mode="after")
    def _one_network(self) -> "Copies":
        if (self.scorer is None) == (self.foundation is None):
            raise ValueError("exactly one of scorer and foundation must be given")
        return self

    def columns(self) -> dict[str, tuple[float, float]]:
        return {f"{by}_{split}": (-1, 1) for by in ("pixel", "feature") for split in ("train", "test")}

    def modules(self) -> list[str]:
        return [*super().modules(), f"evaluation.extractors.{self._extractor}"]

    def check_on(self, dataset: Dataset, parts: Mapping[str, Mapping[str, Part]]) -> None:
        if self.scorer:
            parts["classifiers"][self.scorer].require_side(self.scorer, self.pool, dataset, parts)

    def settings(self) -> dict[str, Any]:
        columns = [f"{name}{ending}" for name in self.columns() for ending in ("", "_row")]
        return {"kind": self.kind, "columns": columns, "extractor": self._extractor}

    @property
    def _extractor(self) -> str:
        return "classifier" if self.scorer else "clip"


SCORES: dict[str, type[Scores]] = {"classifier": ByClassifier, "clip": ByClip, "copies": Copies}
"""Kind -> type of its entries; register new kinds here."""
