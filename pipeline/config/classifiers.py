"""classifiers: what is trained on which pictures, and how. `scheme` chooses the type of an entry."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from pipeline.config.augmentations import Augment, Crop, Flip
from pipeline.config.parts import REAL, Part

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
    pretrained: str | None = None
    """A file of torchvision's weights for the backbone, to start from."""
    side: int | None = Field(default=None, ge=1)
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
    """Shares of the epochs after which the learning rate becomes `decay_to` of its start, for `step`."""
    decay_to: tuple[Annotated[float, Field(ge=0)], ...] = (1e-2, 1e-4)
    ema_decay: float | None = Field(default=None, gt=0, lt=1)
    """Judge by an exponential moving average of the weights."""
    frozen_batch_norm: bool = False
    """Normalise by running statistics in training too, and leave them as they are."""
    augment: Augment = (Crop(kind="crop"), Flip(kind="flip"))
    mean: tuple[float, float, float] = (0.4914, 0.4822, 0.4465)
    std: tuple[Positive, Positive, Positive] = (0.2023, 0.1994, 0.2010)
    precision: Literal["float32", "bfloat16"] = "float32"
    compile: bool = False
    gpus: int = Field(default=1, ge=1)
    """Of one node; a batch is shared by all. Statistics of batch norm, losses that are divided by a sum of weights, and SAU's
    contrast are of each GPU's share."""

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
            raise ValueError("decay_at and decay_to must have the same length")
        if self.warmup_epochs >= self.epochs:
            raise ValueError(f"warmup_epochs is {self.warmup_epochs}; it must be less than epochs, {self.epochs}")
        if self.nesterov and (self.optimizer != "sgd" or not self.momentum):
            raise ValueError("nesterov is for sgd with momentum")
        if self.batch_size < 2 * self.gpus:
            raise ValueError(
                f"batch_size is {self.batch_size}; with {self.gpus} GPUs it must be at least {2 * self.gpus}"
            )
        if REAL in self.steps_as or (self.steps_as and self.data != (REAL,)):
            raise ValueError("steps_as names filters, for a control that trains on real pictures alone: data: [real]")
        return self

    def settings(self) -> dict[str, Any]:
        return {**super().settings(), "real": REAL in self.data, "width": self._width()}

    def check(self, parts: Mapping[str, Mapping[str, Part]]) -> None:
        if self.init is None:
            return
        first: Classifier = parts["classifiers"][self.init]
        if (first.backbone, first._width()) != (self.backbone, self._width()):
            raise ValueError(
                f"init names {self.init}, which is a {first.backbone} of width {first._width()} and not a {self.backbone} of "
                f"width {self._width()}; vary both, the first stage as classifiers.{self.init.split('~')[0]}.backbone"
            )
        if first._head() != self._head() and not self._fresh_head:
            raise ValueError(f"init names {self.init}, which has a {first._head()} head and not a {self._head()} one")

    _fresh_head: ClassVar[bool] = False
    """Whether the scheme trains a head of its own, so that the first stage's may be another."""

    def _width(self) -> int:
        return self.width or WIDTHS[self.backbone]

    def _head(self) -> str:
        return "linear"

    def _has_both(self) -> bool:
        """Whether there are real and generated pictures."""
        return REAL in self.data and len(self.data) > 1


class ClassWeights(Part):
    """How classes are weighed by their sizes."""

    class_weights: Literal["none", "effective_number", "inverse_power"] = "none"
    class_weights_beta: float = Field(default=0.9999, ge=0, lt=1)
    """beta of (1 - beta) / (1 - beta^n) (Cui et al. 2019), for weights and the sampler `effective_number`."""
    class_weights_power: float = Field(default=1.0, ge=0)
    """k of n^-k."""
    class_weights_from: float = Field(default=0.0, ge=0, le=1)
    """Share of the epochs before which all weigh the same; 0.8 is LDAM-DRW's deferred re-weighting."""


class WithLoss(Classifier, ClassWeights):
    """A scheme that takes any loss and any sampler."""

    loss: Literal[
        "cross_entropy", "weighted_cross_entropy", "focal", "ldam", "balanced_softmax", "logit_adjustment"
    ] = "cross_entropy"
    synthetic_weight: float = Field(default=1.0, ge=0, le=1)
    """omega of weighted cross-entropy (DiffuLT, Eq. 4)."""
    normalise_by: Literal["batch", "weights"] = "batch"
    """Divide the weighted sum by the batch size, or by the sum of weights."""
    focal_gamma: float = Field(default=1.0, ge=0)
    focal_form: Literal["inside", "textbook"] = "inside"
    """Whether a class's weight stands inside the focal exponent (LDAM-DRW's code) or before it (Cui et al. 2019)."""
    max_margin: float = Field(default=0.5, ge=0)
    """LDAM's margin of the smallest class."""
    head_scale: float = Field(default=30.0, gt=0)
    """Scale of LDAM's cosine logits."""
    adjustment_tau: float = Field(default=1.0, ge=0)
    """tau of logit adjustment (Menon et al. 2021)."""
    sampler: Literal["instance", "class_aware", "power", "progressive", "effective_number", "half_real"] = "instance"
    sampler_power: float = Field(default=1.0, ge=0)
    """q of the sampler `power`: pictures are drawn with probability n^-q."""
    per_class_draws: int = Field(default=4, ge=1)
    """Pictures of a class in a row, for the sampler `class_aware`."""

    @model_validator(mode="after")
    def _loss_fits(self) -> "WithLoss":
        if self.loss != "weighted_cross_entropy" and self.synthetic_weight != 1:
            raise ValueError(f"synthetic_weight is for weighted_cross_entropy; {self.loss} weighs all pictures alike")
        if self.class_weights != "none" and self.loss not in ("cross_entropy", "focal", "ldam"):
            raise ValueError(f"class_weights are for cross_entropy, focal and ldam, and not for {self.loss}")
        if self.loss == "weighted_cross_entropy" and not self.synthetic_weight and self.normalise_by == "weights":
            raise ValueError(
                "synthetic_weight 0 leaves no weight in a batch of generated pictures: normalise_by: batch"
            )
        if self.sampler == "half_real" and not self._has_both():
            raise ValueError("the sampler half_real needs real and generated pictures: data: [real, some filter]")
        return self

    def settings(self) -> dict[str, Any]:
        return {**super().settings(), "head": self._head()}

    def _head(self) -> str:
        return "cosine" if self.loss == "ldam" else "linear"


class Plain(WithLoss):
    scheme: Literal["plain"] = "plain"


class Mixup(WithLoss):
    scheme: Literal["mixup"]
    mixing_alpha: Positive = 1.0
    """Shares are drawn from Beta(alpha, alpha)."""


class CutMix(Mixup):
    scheme: Literal["cutmix"]
    cutmix_label: Literal["area", "share"] = "area"
    """Labels weigh as much as is seen of them, or as the share was drawn."""
    cutmix_probability: float = Field(default=0.5, ge=0, le=1)
    patch_sampler: Literal["instance", "power"] = "instance"
    """What draws the pictures of which a box is taken; `power` with sampler_power 1 is CMO."""
    uncut_epochs: tuple[Annotated[int, Field(ge=0)], Annotated[int, Field(ge=0)]] = (0, 0)
    """Epochs at the start and at the end without cutting; CMO's public code has 4 and 3."""


class Remix(Classifier):
    scheme: Literal["remix"]
    mixing_alpha: Positive = 1.0
    remix_ratio: float = Field(default=3.0, ge=1)
    """kappa: classes so many times larger than the other lose their label's weight."""
    remix_tau: float = Field(default=0.5, ge=0, le=1)


class SecondStage(WithLoss):
    """Starts from a first stage's weights and trains a part of them."""

    @model_validator(mode="after")
    def _has_a_first_stage(self) -> "SecondStage":
        if self.init is None:
            raise ValueError("a second stage starts from a first: init must name its classifier")
        if self.loss == "ldam":
            raise ValueError("a second stage has a linear head, and ldam a cosine one")
        return self


class Crt(SecondStage):
    scheme: Literal["crt"]
    _fresh_head: ClassVar[bool] = True
    sampler: Literal["instance", "class_aware", "power", "progressive", "effective_number", "half_real"] = "class_aware"


class Lws(Crt):
    scheme: Literal["lws"]
    _fresh_head: ClassVar[bool] = False


class TauNorm(Classifier):
    scheme: Literal["tau_norm"]
    norm_tau: float | None = Field(default=None, ge=0)
    """The power of the weights' length; chosen on the validation split, unless said."""

    @model_validator(mode="after")
    def _has_a_first_stage(self) -> "TauNorm":
        if self.init is None:
            raise ValueError("tau_norm changes a first stage's head: init must name its classifier")
        if self.gpus > 1:
            raise ValueError("tau_norm trains nothing; gpus must be 1")
        return self


class Glmc(Classifier):
    """Du et al. 2023. The defaults are its public code's for CIFAR-100 with imbalance factor 100."""

    scheme: Literal["glmc"]
    mixing_alpha: Positive = 1.0
    sampler_power: float = Field(default=0.0, ge=0)
    """q: the second batch's pictures are drawn with probability n^-q."""
    class_weights_power: float = Field(default=1.2, ge=0)
    """k: the second head's labels weigh n^-k."""
    consistency_weight: float = Field(default=4.0, ge=0)


class Sau(Classifier):
    """SAU (its Eq. 4 to 14)."""

    scheme: Literal["sau"]
    augment_2: Augment
    """The second view, for the contrast."""
    augment_3: Augment
    """The third."""
    mixup_weight: float = Field(default=1.0, ge=0)
    cutmix_weight: float = Field(default=1.0, ge=0)
    contrastive_weight: float = Field(default=1.0, ge=0)
    """lambda, beta and gamma of Eq. 14; what weighs 0 is not computed."""
    cutmix_label: Literal["area", "share"] = "area"
    """Labels weigh as much as is seen of them, or as the share was drawn (Eq. 6 and the public code)."""
    contrastive_temperature: float = Field(default=0.1, gt=0)
    neighbours: int = Field(default=1, ge=1)
    """k of the label correction."""
    noise_strategy: Literal["L1", "L2", "L3"] = "L2"
    normalised_prototypes: bool = True
    """As Eq. 10; the public code leaves their mean as it is."""

    @model_validator(mode="after")
    def _fits_sau(self) -> "Sau":
        if not self.mixup_weight + self.cutmix_weight > 0:
            raise ValueError("mixup_weight or cutmix_weight must be above 0, or nothing trains the head")
        if not self._has_both():
            raise ValueError("sau trains on real and generated pictures: data: [real, some filter]")
        return self


SCHEMES: dict[str, type[Classifier]] = {
    "plain": Plain,
    "mixup": Mixup,
    "cutmix": CutMix,
    "remix": Remix,
    "crt": Crt,
    "lws": Lws,
    "tau_norm": TauNorm,
    "glmc": Glmc,
    "sau": Sau,
}
"""Scheme -> the type of its entries; the scheme's module is `pipeline.classifiers.schemes.<scheme>`."""
