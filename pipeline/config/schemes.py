"""The schemes of classifiers, each with its own keys."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from pipeline.config.augmentations import Augment
from pipeline.config.classifiers import Classifier, Positive
from pipeline.config.datasets import Dataset
from pipeline.config.parts import Part

Sampler = Literal["instance", "class_aware", "power", "progressive", "effective_number", "half_real"]


class ClassWeights(Part):
    """How classes are weighed by their sizes."""

    class_weights: Literal["none", "effective_number", "inverse_power"] = "none"
    class_weights_beta: float = Field(default=0.9999, ge=0, lt=1)
    """beta of (1 - beta) / (1 - beta^n) (Cui et al. 2019), for weights and the sampler `effective_number`."""
    class_weights_power: float = Field(default=1.0, ge=0)
    """k of n^-k."""
    class_weights_from: float = Field(default=0.0, ge=0, lt=1)
    """Share of the epochs before which all weigh the same; 0.8 is LDAM-DRW's deferred re-weighting."""


class WithLoss(Classifier, ClassWeights):
    """A scheme that takes any loss and any sampler."""

    loss: Literal[
        "cross_entropy", "weighted_cross_entropy", "focal", "ldam", "balanced_softmax", "logit_adjustment"
    ] = "cross_entropy"
    generated_weight: float = Field(default=1.0, ge=0, le=1)
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
    sampler: Sampler = "instance"
    sampler_power: float = Field(default=1.0, ge=0)
    """q of the sampler `power`: pictures are drawn with probability n^-q."""
    per_class_draws: int = Field(default=4, ge=1)
    """Pictures of a class in a row, for the sampler `class_aware`."""

    @model_validator(mode="after")
    def _loss_fits(self) -> "WithLoss":
        if self.generated_weight != 1 and not self._has_both():
            raise ValueError("generated_weight weighs generated pictures beside real ones: data: [real, some filter]")
        if self.loss == "weighted_cross_entropy" and not self.generated_weight and self.normalise_by == "weights":
            raise ValueError(
                "generated_weight 0 leaves no weight in a batch of generated pictures: normalise_by: batch"
            )
        if self.sampler == "half_real" and not self._has_both():
            raise ValueError("the sampler half_real needs real and generated pictures: data: [real, some filter]")
        return self

    def settings(self) -> dict[str, Any]:
        return {**super().settings(), "head": self._head()}

    def _reads_sizes(self) -> str | None:
        if self.class_weights != "none":
            return f"class_weights: {self.class_weights}"
        return f"loss: {self.loss}" if self.loss in ("ldam", "balanced_softmax", "logit_adjustment") else None

    def _head(self) -> str:
        return "cosine" if self.loss == "ldam" else "linear"


class Plain(WithLoss):
    scheme: Literal["plain"] = "plain"


class Mixup(WithLoss):
    scheme: Literal["mixup"]
    mixing_alpha: Positive = 1.0
    """Shares are drawn from Beta(alpha, alpha)."""

    @model_validator(mode="after")
    def _mixes_both(self) -> "Mixup":
        if self.sampler == "half_real":
            raise ValueError("with the sampler half_real, mixup would mix real pictures with real ones alone")
        return self


class CutMix(WithLoss):
    scheme: Literal["cutmix"]
    mixing_alpha: Positive = 1.0
    cutmix_label: Literal["area", "share"] = "area"
    """Labels weigh as much as is seen of them, or as the share was drawn."""
    cutmix_probability: float = Field(default=0.5, gt=0, le=1)
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

    def _reads_sizes(self) -> str:
        return "scheme: remix"


class SecondStage(WithLoss):
    """Starts from a first stage's weights and trains a part of them."""

    _keeps_features: ClassVar[bool] = True
    sampler: Sampler = "class_aware"

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


class Lws(SecondStage):
    scheme: Literal["lws"]


class TauNorm(Classifier):
    scheme: Literal["tau_norm"]
    _keeps_features: ClassVar[bool] = True
    norm_tau: float | None = Field(default=None, ge=0)
    """The power of the weights' length; chosen on the validation split, unless said."""

    @model_validator(mode="after")
    def _has_a_first_stage(self) -> "TauNorm":
        if self.init is None:
            raise ValueError("tau_norm changes a first stage's head: init must name its classifier")
        if self.gpus > 1:
            raise ValueError("tau_norm trains nothing; gpus must be 1")
        return self

    def check_on(self, dataset: Dataset, parts: Mapping[str, Mapping[str, Part]]) -> None:
        super().check_on(dataset, parts)
        if self.norm_tau is None and dataset.has_validation is False:
            raise ValueError("tau_norm chooses its power on a validation split, and there is none; give norm_tau")


class Glmc(Classifier):
    """Du et al. 2023. The defaults are its public code's for CIFAR-100 with imbalance factor 100."""

    scheme: Literal["glmc"]
    mixing_alpha: Positive = 1.0
    sampler_power: float = Field(default=0.0, ge=0)
    """q: the second batch's pictures are drawn with probability n^-q."""
    class_weights_power: float = Field(default=1.2, ge=0)
    """k: the second head's labels weigh n^-k."""
    consistency_weight: float = Field(default=4.0, ge=0)
    projection_size: int = Field(default=128, ge=1)
    """Numbers of the vectors that are to agree; the public code has 256 for ImageNet-LT."""

    def _reads_sizes(self) -> str:
        return "scheme: glmc"


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

    def _steps(self) -> Augment:
        return self.augment + self.augment_2 + self.augment_3

    @model_validator(mode="after")
    def _fits_sau(self) -> "Sau":
        if not self.mixup_weight + self.cutmix_weight > 0:
            raise ValueError("mixup_weight or cutmix_weight must be above 0, or nothing trains the head")
        if not self._has_both():
            raise ValueError("sau trains on real and generated pictures: data: [real, some filter]")
        return self

    def check_on(self, dataset: Dataset, parts: Mapping[str, Mapping[str, Part]]) -> None:
        super().check_on(dataset, parts)
        if dataset.classes is not None and self.neighbours > dataset.classes:
            raise ValueError(
                f"neighbours is {self.neighbours}; it must be at most the number of classes, {dataset.classes}"
            )


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
