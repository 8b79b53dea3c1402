"""classifiers: what is trained on which pictures, and how. `scheme` chooses the type of an entry."""

from collections.abc import Mapping
from itertools import combinations, pairwise
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from pipeline.config.augmentations import Augment, Crop, Flip
from pipeline.config.datasets import Dataset
from pipeline.config.parts import REAL, Part
from pipeline.config.unread import refuse_unread

WIDTHS = {
    "small": 32,
    "resnet32": 16,
    "resnet32x4": 64,
    "resnet10": 64,
    "resnet18": 64,
    "resnet50": 64,
    "resnet152": 64,
    "resnext50_32x4d": 4,
}
"""Backbone -> channels of its first stage, or of a group."""

Positive = Annotated[float, Field(gt=0)]
Level = Annotated[float, Field(ge=0, le=1)]
Spread = Annotated[float, Field(gt=0, le=1)]


class Classifier(Part):
    """A network trained on real and generated pictures.

    The defaults are the CIFAR recipe of LDAM-DRW (Cao et al. 2019) without its re-weighting, since DiffuLT's
    baselines are that paper's figures and DiffuLT prints no recipe of its own.
    """

    data: tuple[str, ...] = Field(min_length=1)
    """`real`, and filters; each once."""
    init: str | None = None
    """Start from this classifier's weights, of the same seed."""
    steps_as: tuple[str, ...] = ()
    """Filters whose pictures an epoch is to be longer by, without their use: a control for longer training."""
    backbone: Literal[
        "resnet32", "resnet32x4", "small", "resnet10", "resnet18", "resnet50", "resnet152", "resnext50_32x4d"
    ] = "resnet32"
    """resnet32 is LDAM-DRW's network of 0.47 M weights, resnet32x4 the four times as wide one of GLMC and SAU."""
    width: int | None = Field(default=None, ge=1)
    """Channels of the first stage of `small`; the other backbones have theirs."""
    pretrained: str | None = Field(default=None, min_length=1)
    """A file of torchvision's weights for the backbone, to start from."""
    side: int | None = Field(default=None, ge=8)
    """Look at pictures as squares of so many pixels; at what is stored, unless said."""
    prior_from: Literal["real", "all"] = "real"
    """Which pictures count where a loss or scheme asks for the classes' sizes; samplers count all that they draw from."""
    epochs: int = Field(default=200, ge=1)
    batch_size: int = Field(default=128, ge=2)
    optimizer: Literal["sgd", "adamw"] = "sgd"
    learning_rate: float = Field(default=0.1, gt=0)
    momentum: float = Field(default=0.9, ge=0, lt=1)
    nesterov: bool = False
    weight_decay: float = Field(default=2e-4, ge=0)
    schedule: Literal["step", "cosine"] = "step"
    warmup_epochs: int = Field(default=5, ge=0)
    decay_at: tuple[Annotated[float, Field(ge=0, le=1)], ...] = (0.8, 0.9)
    """Shares of the epochs, rising, after which the learning rate becomes `decay_to` of its start, for `step`."""
    decay_to: tuple[Annotated[float, Field(ge=0, le=1)], ...] = (1e-2, 1e-4)
    ema_decay: float | None = Field(default=None, gt=0, lt=1)
    """Judge by an exponential moving average of the weights."""
    frozen_batch_norm: bool = False
    """Normalise by running statistics in training too, and leave them as they are; also those of SAU's projection, which are fresh."""
    augment: Augment = (Crop(kind="crop"), Flip(kind="flip"))
    mean: tuple[Level, Level, Level] = (0.4914, 0.4822, 0.4465)
    std: tuple[Spread, Spread, Spread] = (0.2023, 0.1994, 0.2010)
    """Of red, green and blue, as shares of the highest level."""
    precision: Literal["float32", "bfloat16"] = "float32"
    compile: bool = False
    gpus: int = Field(default=1, ge=1)
    """Of one node; a batch is shared by all. Statistics of batch norm and losses that are divided by a sum of weights are of
    each GPU's share."""

    references: ClassVar[dict[str, str]] = {"data": "filters", "steps_as": "filters", "init": "classifiers"}

    @model_validator(mode="after")
    def _fits(self) -> "Classifier":
        if self.width is not None and self.backbone != "small" and self.width != WIDTHS[self.backbone]:
            raise ValueError(
                f"width is {self.width}, but {self.backbone} has {WIDTHS[self.backbone]}; resnet32x4 is the wide ResNet-32"
            )
        if self.pretrained and self.backbone in ("small", "resnet32", "resnet32x4", "resnet10"):
            raise ValueError(f"pretrained weights are torchvision's, which has none of {self.backbone}")
        if self.pretrained and self.init:
            raise ValueError("init and pretrained both say what to start from; give one")
        if len(set(self.data)) < len(self.data):
            raise ValueError(f"data is {list(self.data)}; each must be named once")
        if len(self.decay_at) != len(self.decay_to):
            raise ValueError(
                f"decay_at has {len(self.decay_at)} values and decay_to {len(self.decay_to)}; they must have as many"
            )
        if not all(a < b for a, b in pairwise(self.decay_at)) or not all(a > b for a, b in pairwise(self.decay_to)):
            raise ValueError(
                f"decay_at is {list(self.decay_at)} and decay_to {list(self.decay_to)}; the first must rise and the second "
                "fall, for both are shares of the whole"
            )
        if self.warmup_epochs >= self.epochs:
            raise ValueError(f"warmup_epochs is {self.warmup_epochs}; it must be less than epochs, {self.epochs}")
        if self.nesterov and not self.momentum:
            raise ValueError("nesterov needs a momentum above 0")
        if self.frozen_batch_norm and not (self.init or self.pretrained):
            raise ValueError("frozen_batch_norm keeps the statistics of init or pretrained; name one of them")
        if self.batch_size < 2 * self.gpus:
            raise ValueError(
                f"batch_size is {self.batch_size}; with {self.gpus} GPUs it must be at least {2 * self.gpus}"
            )
        reader = self._reads_sizes()
        if reader and self.prior_from == "real" and REAL not in self.data:
            raise ValueError(
                f"{reader} needs the classes' sizes, and data has no real pictures to count: prior_from: all"
            )
        if not reader and self.prior_from == "all":
            raise ValueError(
                "prior_from is all, but neither loss, class_weights nor scheme asks for the classes' sizes"
            )
        refuse_unread(self)
        if REAL in self.steps_as or (self.steps_as and self.data != (REAL,)):
            raise ValueError("steps_as names filters, for a control that trains on real pictures alone: data: [real]")
        return self

    @property
    def filters(self) -> list[str]:
        """Of the generated pictures that it trains on."""
        return [name for name in self.data if name != REAL]

    def settings(self) -> dict[str, Any]:
        return {**super().settings(), "real": REAL in self.data, "width": self._width()}

    def check(self, parts: Mapping[str, Mapping[str, Part]]) -> None:
        for one, other in combinations(self.filters, 2):
            pools = [parts["filters"][name].pool(parts) for name in (one, other)]
            if pools[0] == pools[1]:
                raise ValueError(
                    f"data names {one} and {other}, which choose from one pool, {pools[0]}; say it in one filter"
                )
            if parts["samples"][pools[0]].overlaps(parts["samples"][pools[1]]):
                raise ValueError(
                    f"data names {one} and {other}, but the pools {pools[0]} and {pools[1]} hold the same pictures; give "
                    "one of them another seed"
                )
        if self.init is None:
            return
        first: Classifier = parts["classifiers"][self.init]
        alike = ("backbone", "width", *(("mean", "std", "side") if self._keeps_features else ()))
        for key in alike:
            one, other = (part._width() if key == "width" else getattr(part, key) for part in (first, self))
            if one != other:
                raise ValueError(
                    f"init names {self.init}, whose {key} is {one} and not {other}; both must have the same (in a recipe's "
                    f"vary, the first stage's is classifiers.{self.init.split('~')[0]}.{key})"
                )
        if first._head() != self._head() and not self._fresh_head:
            raise ValueError(f"init names {self.init}, which has a {first._head()} head and not a {self._head()} one")

    def check_on(self, dataset: Dataset, parts: Mapping[str, Mapping[str, Part]]) -> None:
        side = self.side or dataset.side
        for step in self._steps():
            if side and step.kind == "cutout" and step.size >= side:
                raise ValueError(f"cutout of size {step.size} would black out pictures of {side} px; it must be less")
        if self.side is not None:
            return
        if dataset.varied_sides:
            raise ValueError("its pictures have sizes of their own; give side, in pixels")
        for pool in [parts["filters"][name].pool(parts) for name in self.filters]:
            self.require_side("it", pool, dataset, parts)

    def require_side(self, name: str, samples: str, dataset: Dataset, parts: Mapping[str, Mapping[str, Part]]) -> None:
        """Raise ValueError where this classifier, called `name`, has no side and the pool has not the stored pictures' own."""
        side = parts["samples"][samples].side(dataset, parts)
        if self.side is None and side != dataset.side:
            real = f"{dataset.side} px" if dataset.side else "as they are stored"
            raise ValueError(
                f"{name} looks at pictures as they are, but those of {samples} are {side} px and real ones {real}; give "
                f"{name} a side, in pixels"
            )

    _fresh_head: ClassVar[bool] = False
    """Whether the scheme trains a head of its own, so that the first stage's may be another."""
    _keeps_features: ClassVar[bool] = False
    """Whether the scheme leaves the first stage's features as they are, so that it must look at pictures alike."""

    def _reads_sizes(self) -> str | None:
        """What asks for the classes' sizes, if anything does."""
        return None

    def _width(self) -> int:
        return self.width or WIDTHS[self.backbone]

    def _head(self) -> str:
        return "linear"

    def _steps(self) -> Augment:
        """Of all its views."""
        return self.augment

    def _has_both(self) -> bool:
        """Whether there are real and generated pictures."""
        return REAL in self.data and len(self.data) > 1
