"""classifiers: what is trained on which pictures, and how; a scheme turns batches into a loss and has its own keys."""

from collections.abc import Mapping
from functools import reduce
from operator import or_
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from pipeline.config.augmentations import Augment
from pipeline.config.classifiers import Classifier, Positive, Work
from pipeline.config.data_samplers import ClassAware, DataSampler, Instance, PatchSampler
from pipeline.config.datasets import Dataset
from pipeline.config.losses import LOSSES, CrossEntropy, Ldam, WeightedCrossEntropy
from pipeline.config.parts import Part, by_kind
from pipeline.config.prompts import checked_template

AnyLoss = Annotated[reduce(or_, LOSSES), Field(discriminator="kind"), BeforeValidator(by_kind)]


class WithLoss(Classifier):
    """A scheme that takes any loss and any data sampler."""

    loss: AnyLoss = CrossEntropy(kind="cross_entropy")
    """The loss of a batch."""
    data_sampler: DataSampler = Instance(kind="instance")
    """Which pictures an epoch goes through, and in which order."""
    head_text: str | None = None
    """Of the backbone `clip`: a sentence with {class}. The head is the cosine to a direction of each class, which starts as that
    of the sentence (LIFT has "a photo of a {class}.")."""
    head_scale: float = Field(default=25.0, gt=0)
    """Scale of the cosines of a head from texts."""

    @field_validator("head_text")
    @classmethod
    def _has_a_class(cls, head_text: str | None) -> str | None:
        return head_text and checked_template(head_text)

    @model_validator(mode="after")
    def _loss_fits(self) -> "WithLoss":
        if isinstance(self.loss, WeightedCrossEntropy):
            weight = self.loss.generated_weight
            if weight != 1 and not self._has_both():
                raise ValueError("generated_weight needs real and generated pictures; set data: [real, some filter]")
            if not weight and self.loss.normalise_by == "weights":
                raise ValueError(
                    "generated_weight 0 leaves no weight in a batch of generated pictures; set normalise_by: batch"
                )
        if self.head_scale != 25.0 and (not self.head_text or isinstance(self.loss, Ldam)):
            raise ValueError(
                "head_scale is of a head from head_text, with any loss but ldam, which has its own; remove it"
            )
        return self

    def complaint(self) -> str | None:
        weights = getattr(self.loss, "class_weights", None)
        if weights and round(weights.start * self.epochs) >= self.epochs:
            return f"class_weights.start is {weights.start:g}, which {self.epochs} epochs never reach; lower it, or train longer"
        return super().complaint()

    def settings(self) -> dict[str, Any]:
        scale = self.loss.head_scale if isinstance(self.loss, Ldam) else self.head_scale
        return {**super().settings(), "head": self._head(), "head_scale": scale}

    def modules(self) -> list[str]:
        return [*super().modules(), f"classifiers.losses.{self.loss.kind}"]

    def timed_settings(self) -> dict[str, Any]:
        return self.model_copy(update={"loss": self.loss.for_timing()}).settings()

    def _reads_sizes(self) -> str | None:
        if getattr(self.loss, "class_weights", None):
            return f"class_weights: {self.loss.class_weights.kind}"
        return f"loss: {self.loss.kind}" if self.loss.reads_sizes else None

    def _head(self) -> str:
        return "cosine" if self.head_text else self.loss.head


class Plain(WithLoss):
    """One loss of the data sampler's batches."""

    scheme: Literal["plain"] = "plain"


class MixUp(WithLoss):
    """MixUp (Zhang et al. 2018) of two batches."""

    scheme: Literal["mixup"]
    mixing_alpha: Positive = 1.0
    """Shares are drawn from Beta(alpha, alpha)."""

    @model_validator(mode="after")
    def _mixes_both(self) -> "MixUp":
        if self.data_sampler.kind == "half_real":
            raise ValueError("with the data sampler half_real, mixup would mix real pictures only with real ones")
        return self


class CutMix(WithLoss):
    """CutMix (Yun et al. 2019) of two batches; with `patch_sampler: power` it is CMO (Park et al. 2022)."""

    scheme: Literal["cutmix"]
    mixing_alpha: Positive = 1.0
    """Shares are drawn from Beta(alpha, alpha)."""
    cutmix_label: Literal["area", "share"] = "area"
    """Labels are weighted by the visible area of their pictures, or by the share as drawn."""
    cutmix_probability: float = Field(default=0.5, gt=0, le=1)
    """Probability that a batch is cut."""
    patch_sampler: PatchSampler = Instance(kind="instance")
    """The data sampler of the pictures that give the box; {kind: power, power: 1} is CMO."""
    uncut_epochs: tuple[Annotated[int, Field(ge=0)], Annotated[int, Field(ge=0)]] = (0, 0)
    """Epochs at the start and at the end without CutMix; CMO's public code has 4 and 3."""

    def complaint(self) -> str | None:
        if sum(self.uncut_epochs) >= self.epochs:
            return (
                f"uncut_epochs is {list(self.uncut_epochs)}, which leaves none of {self.epochs} epochs for CutMix; give "
                "fewer, or train longer"
            )
        return super().complaint()

    def timed_settings(self) -> dict[str, Any]:
        return super().timed_settings() | {"uncut_epochs": [0, 0]}


class Remix(Classifier):
    """Remix (Chou et al. 2020): MixUp with labels that lean to the smaller class."""

    scheme: Literal["remix"]
    mixing_alpha: Positive = 1.0
    """Shares are drawn from Beta(alpha, alpha)."""
    remix_ratio: float = Field(default=3.0, ge=1)
    """kappa: a class this many times larger than the other loses its label's weight."""
    remix_tau: float = Field(default=0.5, ge=0, le=1)
    """Shares below it lose the label's weight."""

    def _reads_sizes(self) -> str:
        return "scheme: remix"


class SecondStage(WithLoss):
    """Starts from a first stage's weights and trains a part of them."""

    _keeps_features: ClassVar[bool] = True
    data_sampler: DataSampler = ClassAware(kind="class_aware")
    """Which pictures an epoch goes through, and in which order."""

    @model_validator(mode="after")
    def _has_a_first_stage(self) -> "SecondStage":
        if self.init is None:
            raise ValueError("a second stage needs init, the name of the first stage's classifier")
        if self._head() != "linear":
            because = "head_text gives" if self.head_text else f"{self.loss.kind} needs"
            raise ValueError(f"a second stage has a linear head, but {because} a {self._head()} one")
        return self


class Crt(SecondStage):
    """cRT (Kang et al. 2020): a second stage that learns a fresh head on a frozen backbone."""

    scheme: Literal["crt"]
    _fresh_head: ClassVar[bool] = True


class Lws(SecondStage):
    """LWS (Kang et al. 2020): a second stage that learns one factor for each class."""

    scheme: Literal["lws"]


class MetaSampler(Classifier):
    """The second stage of balanced meta-softmax (BALMS, Ren et al. 2020): balanced softmax trains a fresh head on a frozen backbone, and a
    sampler learns how often it needs each class. The defaults are those of its public code for Places-LT."""

    scheme: Literal["meta_sampler"]
    _fresh_head: ClassVar[bool] = True
    _keeps_features: ClassVar[bool] = True
    data_sampler: DataSampler = ClassAware(kind="class_aware")
    """Which pictures the head is judged on, and in which order; a step has as many of them as of those that the sampler draws."""
    meta_learning_rate: Positive = 0.001
    """Adam's learning rate of the sampler's rates."""
    meta_power: float = Field(default=0.3, ge=0)
    """At first, a picture of a class of n is drawn with probability proportional to n^-meta_power."""

    @model_validator(mode="after")
    def _fits_look_ahead(self) -> "MetaSampler":
        if self.init is None:
            raise ValueError("a second stage needs init, the name of the first stage's classifier")
        if self.optimizer != "sgd" or self.nesterov:
            raise ValueError("meta_sampler looks one step ahead by sgd without nesterov; set optimizer: sgd")
        if self.gpus * self.accumulate > 1:
            raise ValueError("meta_sampler draws its own pictures, all on one GPU; gpus and accumulate must be 1")
        return self

    def _reads_sizes(self) -> str:
        return "scheme: meta_sampler"


class TauNorm(Classifier):
    """tau-normalisation (Kang et al. 2020) of a first stage's head; nothing is trained."""

    scheme: Literal["tau_norm"]
    _keeps_features: ClassVar[bool] = True
    norm_tau: float | None = Field(default=None, ge=0)
    """The power of the weights' length; by default chosen on the validation split."""

    @model_validator(mode="after")
    def _has_a_first_stage(self) -> "TauNorm":
        if self.init is None:
            raise ValueError("tau_norm needs init, the name of the first stage's classifier")
        if self.gpus > 1:
            raise ValueError("tau_norm trains nothing; gpus must be 1")
        if self.select_by != "last":
            raise ValueError("tau_norm trains nothing, so there are no epochs to select; remove select_by")
        if self.one_training:
            raise ValueError("tau_norm trains nothing, so no round could go on with it; remove one_training")
        return self

    def work(self) -> dict[str, Any]:
        return Work(0, looks_at_validation=int(self.norm_tau is None))._asdict()

    def timed_settings(self) -> dict[str, Any]:
        return super().timed_settings() | {"norm_tau": 1.0}

    def check_on(self, dataset: Dataset, parts: Mapping[str, Mapping[str, Part]]) -> None:
        super().check_on(dataset, parts)
        if self.norm_tau is None and dataset.has_validation is False:
            raise ValueError("tau_norm chooses its power on a validation split, but there is none; set norm_tau")


class Grouped(Classifier):
    """A scheme that compares groups of pictures: a class in a context, as in NICO++. The defaults are those of SubpopBench."""

    data_sampler: DataSampler = Instance(kind="instance")
    """Which pictures an epoch goes through, and in which order."""

    @model_validator(mode="after")
    def _has_whole_batches(self) -> "Grouped":
        if self.accumulate > 1:
            raise ValueError(f"{self.scheme} compares the groups of a batch, so accumulate must be 1; use more GPUs")
        return self

    def _reads_groups(self) -> str:
        return f"scheme: {self.scheme}"


class GroupDro(Grouped):
    """Group DRO (Sagawa et al. 2020): groups with higher losses count more."""

    scheme: Literal["group_dro"]
    group_step: Positive = 0.01
    """eta: a step multiplies a group's weight by exp(eta * its loss)."""


class Irm(Grouped):
    """Invariant risk minimisation (Arjovsky et al. 2019), IRMv1, of contexts; groups without contexts are contexts themselves."""

    scheme: Literal["irm"]
    penalty_weight: float = Field(default=100.0, ge=0)
    """lambda: the weight of the penalty."""
    penalty_start: int = Field(default=500, ge=0)
    """Steps at the start in which the weight is 1."""


class Lisa(Grouped):
    """LISA (Yao et al. 2022): MixUp of pictures of a batch that share their label or their context, but not both."""

    scheme: Literal["lisa"]
    mixing_alpha: Positive = 2.0
    """Shares are drawn from Beta(alpha, alpha)."""
    same_label: float = Field(default=0.5, ge=0, le=1)
    """Probability that a batch mixes pictures of a label, and not of a context."""


class Glmc(Classifier):
    """GLMC (Du et al. 2023). The defaults are its public code's for CIFAR-100 with imbalance factor 100."""

    scheme: Literal["glmc"]
    mixing_alpha: Positive = 1.0
    """Shares are drawn from Beta(alpha, alpha)."""
    sampler_power: float = Field(default=0.0, ge=0)
    """q: the second batch's pictures are drawn with probability n^-q."""
    class_weights_power: float = Field(default=1.2, ge=0)
    """k: the second head's labels have weight n^-k."""
    consistency_weight: float = Field(default=4.0, ge=0)
    """Weight of the consistency loss."""
    projection_size: int = Field(default=128, ge=1)
    """Size of the vectors compared for consistency; the public code has 256 for ImageNet-LT."""

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
    """lambda of Eq. 14, the weight of MixUp; 0 does not compute it."""
    cutmix_weight: float = Field(default=1.0, ge=0)
    """beta of Eq. 14, the weight of CutMix; 0 does not compute it."""
    contrastive_weight: float = Field(default=1.0, ge=0)
    """gamma of Eq. 14, the weight of the contrast; 0 does not compute it."""
    cutmix_label: Literal["area", "share"] = "area"
    """Labels are weighted by the visible area of their pictures, or by the share as drawn (Eq. 5 and the public code)."""
    contrastive_temperature: float = Field(default=0.1, gt=0)
    """Temperature of the contrastive loss."""
    neighbours: int = Field(default=1, ge=1)
    """k of the label correction."""
    noise_strategy: Literal["L1", "L2", "L3"] = "L2"
    """What becomes of noisy generated pictures in the contrastive loss (SAU, Table 3)."""
    normalised_prototypes: bool = True
    """As in Eq. 10; the public code does not normalise the mean."""

    def work(self) -> dict[str, Any]:
        # for the prototypes of both views
        return super().work() | {"looks_an_epoch": 2 if self.contrastive_weight else 0}

    def _steps(self) -> Augment:
        return self.augment + self.augment_2 + self.augment_3

    @model_validator(mode="after")
    def _fits_sau(self) -> "Sau":
        if not self.mixup_weight + self.cutmix_weight > 0:
            raise ValueError("mixup_weight or cutmix_weight must be above 0, or nothing trains the head")
        if not self._has_both():
            raise ValueError("sau needs real and generated pictures; set data: [real, some filter]")
        if self.accumulate > 1:
            raise ValueError("sau compares all pictures of a batch, so accumulate must be 1; use more GPUs")
        return self

    def check_on(self, dataset: Dataset, parts: Mapping[str, Mapping[str, Part]]) -> None:
        super().check_on(dataset, parts)
        if dataset.classes is not None and self.neighbours > dataset.classes:
            raise ValueError(
                f"neighbours is {self.neighbours}; it must be at most the number of classes, {dataset.classes}"
            )


SCHEMES: dict[str, type[Classifier]] = {
    "plain": Plain,
    "mixup": MixUp,
    "cutmix": CutMix,
    "remix": Remix,
    "crt": Crt,
    "lws": Lws,
    "meta_sampler": MetaSampler,
    "tau_norm": TauNorm,
    "glmc": Glmc,
    "sau": Sau,
    "group_dro": GroupDro,
    "irm": Irm,
    "lisa": Lisa,
}
"""Scheme -> the type of its entries; the scheme's module is `pipeline.classifiers.schemes.<scheme>`."""
