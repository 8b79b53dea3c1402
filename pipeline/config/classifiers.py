"""classifiers: what is trained on which pictures, and how."""

from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from pipeline.config.parts import REAL, Part


class Classifier(Part):
    """A network trained on real and generated pictures.

    The defaults are the CIFAR recipe of LDAM-DRW (Cao et al. 2019) without its re-weighting, since DiffuLT's
    baselines are that paper's figures and DiffuLT prints no recipe of its own.
    """

    data: tuple[str, ...] = Field(min_length=1)
    """`real`, and filters."""
    init: str | None = None
    """Start from this classifier's weights, of the same seed."""
    steps_as: tuple[str, ...] = ()
    """Filters whose pictures an epoch is to be longer by, without their use: a control for longer training."""
    backbone: Literal["resnet32", "small"] = "resnet32"
    width: int = Field(default=16, ge=1)
    """Channels of the first stage: resnet32 is the 0.47 M network at 16."""
    side: int | None = Field(default=None, ge=1)
    """Look at pictures as squares of so many pixels; at what is stored, unless said."""
    loss: Literal["cross_entropy", "weighted_cross_entropy"] = "cross_entropy"
    synthetic_weight: float = Field(default=1.0, ge=0, le=1)
    """omega of weighted cross-entropy (DiffuLT, Eq. 4)."""
    normalise_by: Literal["batch", "weights"] = "batch"
    """Divide the weighted sum by the batch size, or by the sum of weights."""
    epochs: int = Field(default=200, ge=1)
    batch_size: int = Field(default=128, ge=2)
    learning_rate: float = Field(default=0.1, gt=0)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    weight_decay: float = Field(default=2e-4, ge=0)
    warmup_epochs: int = Field(default=5, ge=0)
    decay_at: tuple[float, ...] = (0.8, 0.9)
    """Shares of the epochs after which the learning rate becomes `decay_to` of its start."""
    decay_to: tuple[float, ...] = (1e-2, 1e-4)
    crop_padding: int = Field(default=4, ge=0)
    horizontal_flip: bool = True
    mean: tuple[float, float, float] = (0.4914, 0.4822, 0.4465)
    std: tuple[float, float, float] = (0.2023, 0.1994, 0.2010)

    references: ClassVar[dict[str, str]] = {"data": "filters", "steps_as": "filters", "init": "classifiers"}

    @model_validator(mode="after")
    def _fits(self) -> "Classifier":
        if self.loss == "cross_entropy" and self.synthetic_weight != 1:
            raise ValueError("synthetic_weight is for weighted_cross_entropy; cross_entropy weighs all pictures alike")
        if len(self.decay_at) != len(self.decay_to):
            raise ValueError("decay_at and decay_to must have the same length")
        if REAL in self.steps_as or (self.steps_as and self.data != (REAL,)):
            raise ValueError("steps_as names filters, for a control that trains on real pictures alone: data: [real]")
        return self

    def settings(self) -> dict[str, Any]:
        return {**super().settings(), "real": REAL in self.data}
