"""qualities: metrics of a whole pool, under a named feature extractor."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from pipeline.config.datasets import Dataset
from pipeline.config.parts import REAL, Part, Reference, RunPart

EXTRACTORS = {"scorer": "classifier", "inception_weights": "inception", "dino_weights": "dino", "foundation": "clip"}
"""Key -> the extractor that it names; the module is `pipeline.evaluation.extractors.<extractor>`."""


class Quality(RunPart):
    """Fréchet distance of a pool to the real pictures, precision, recall, density and coverage, and the inception score.

    One key names the network whose features count.
    """

    pool: str
    """The pool that is measured."""
    scorer: str | None = None
    """A classifier trained on real pictures; the metrics are fd_scorer, is_scorer, precision_scorer and so on."""
    inception_weights: str | None = None
    """A local file with torch-fidelity's Inception v3 weights; the metrics are fid, is, precision_inception and so on."""
    dino_weights: str | None = None
    """A local file with DINO's or DINOv2's weights; the metrics are fd_dino, precision_dino and so on."""
    foundation: str | None = None
    """A CLIP in open_clip's format; the metrics are fd_clip, precision_clip and so on."""
    against: Literal["training", "val"] = "training"
    """The real pictures: those of the training split and `rest`, or of the validation split (LDM-FG, Table 3)."""
    nearest: int = Field(default=5, ge=1)
    """Neighbours of precision, recall, density and coverage. Naeem et al. 2020 have 5, Kynkäänniemi et al. 2019 have 3."""
    sample_size: int | None = Field(default=10_000, ge=2)
    """Pictures of each kind among which neighbours are looked for, drawn at random; null takes all."""
    scorer_seed: int = Field(default=0, ge=0, le=2**32 - 1)
    """Which of the scorer's seeds."""
    splits: int = Field(default=10, ge=1)
    """Parts over which the inception score is averaged (Salimans et al. 2016 use 10)."""

    references: ClassVar[dict[str, Reference]] = {
        "pool": Reference("pools", {"indices": "index", "pictures": "pictures"}),
        "scorer": Reference("classifiers", {"weights": "weights"}, seed="scorer_seed"),
        "foundation": Reference("foundations"),
    }

    files: ClassVar[tuple[str, ...]] = ("inception_weights", "dino_weights")

    @model_validator(mode="after")
    def _one_extractor(self) -> "Quality":
        if sum(getattr(self, key) is not None for key in EXTRACTORS) != 1:
            raise ValueError(f"exactly one of {', '.join(EXTRACTORS)} must be given")
        for key, readers in {"splits": ("scorer", "inception_weights"), "scorer_seed": ("scorer",)}.items():
            unread = all(getattr(self, reader) is None for reader in readers)
            if unread and getattr(self, key) != type(self).model_fields[key].default:
                raise ValueError(f"{key} is {getattr(self, key)}, which has an effect only with {' or '.join(readers)}")
        if self.sample_size is not None and self.sample_size <= self.nearest:
            raise ValueError(f"sample_size is {self.sample_size}; it must be more than nearest, {self.nearest}")
        return self

    @property
    def extractor(self) -> str:
        """The network's module."""
        return next(extractor for key, extractor in EXTRACTORS.items() if getattr(self, key) is not None)

    def modules(self) -> list[str]:
        return [f"evaluation.extractors.{self.extractor}"]

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
        if self.against == "val" and dataset.has_validation is False:
            raise ValueError("against is val, but the data set has no validation split; set against: training")
        if self.scorer:
            parts["classifiers"][self.scorer].require_side(self.scorer, self.pool, dataset, parts)

    def settings(self) -> dict[str, Any]:
        path = self.inception_weights or self.dino_weights
        weights = {"weights": path} if path else {}
        keys = {"splits", "nearest", "sample_size", "against"}
        return {"extractor": self.extractor, **weights, **self.model_dump(mode="json", include=keys)}
