"""loss: the loss of a batch. `kind` chooses the type; the loss's module is `pipeline.classifiers.losses.<kind>`."""

from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field

from pipeline.config.parts import Part, by_kind

Share = Annotated[float, Field(ge=0, lt=1)]


class EffectiveNumber(Part):
    """(1 - beta) / (1 - beta^n) for a class of n pictures (Cui et al. 2019)."""

    kind: Literal["effective_number"]
    beta: float = Field(default=0.9999, ge=0, lt=1)
    """Near 1, weights are inverse to the number of pictures; 0 weighs all classes the same."""
    start: Share = 0.0
    """Share of the epochs before the weights start; until then all are 1. 0.8 is LDAM-DRW's deferred re-weighting."""


class InversePower(Part):
    """n^-power for a class of n pictures."""

    kind: Literal["inverse_power"]
    power: float = Field(default=1.0, ge=0)
    """0 weighs all classes the same, 1 inversely to their size."""
    start: Share = 0.0
    """Share of the epochs before the weights start; until then all are 1."""


ClassWeights = Annotated[EffectiveNumber | InversePower, Field(discriminator="kind"), BeforeValidator(by_kind)]


class Loss(Part):
    """Base of all losses."""

    reads_sizes: ClassVar[bool] = False
    """Whether the loss needs the classes' sizes."""
    head: ClassVar[str] = "linear"
    """The head that the loss needs: linear or cosine."""

    def for_timing(self) -> "Loss":
        """The loss for timing a training of one epoch."""
        return self


class WeightedByClass(Loss):
    """A loss that may weight classes by their sizes."""

    class_weights: ClassWeights | None = None
    """Weights of the classes; by default all are 1."""

    def for_timing(self) -> "WeightedByClass":
        """The loss with its class weights active from the first epoch on."""
        weights = self.class_weights and self.class_weights.model_copy(update={"start": 0.0})
        return self.model_copy(update={"class_weights": weights})


class CrossEntropy(WeightedByClass):
    """Every picture counts alike, or as its class weighs."""

    kind: Literal["cross_entropy"]


class WeightedCrossEntropy(Loss):
    """Generated pictures have weight `generated_weight`, real ones 1 (DiffuLT, Eq. 4)."""

    kind: Literal["weighted_cross_entropy"]
    generated_weight: float = Field(default=1.0, ge=0, le=1)
    """omega of Eq. 4."""
    normalise_by: Literal["batch", "weights"] = "batch"
    """Divide the weighted sum by the batch size, or by the sum of weights."""


class Focal(WeightedByClass):
    """Pictures that are classified well already count less (Lin et al. 2017; Cui et al. 2019 with class weights)."""

    kind: Literal["focal"]
    gamma: float = Field(default=1.0, ge=0)
    """Power of the focal factor; 0 is cross-entropy."""
    form: Literal["inside", "textbook"] = "inside"
    """Class weight inside the focal exponent (LDAM-DRW's code) or before it (Cui et al. 2019)."""


class Ldam(WeightedByClass):
    """Label-distribution-aware margins (Cao et al. 2019)."""

    kind: Literal["ldam"]
    max_margin: float = Field(default=0.5, ge=0)
    """Margin of the smallest class."""
    head_scale: float = Field(default=30.0, gt=0)
    """Scale of the cosine logits."""
    reads_sizes: ClassVar[bool] = True
    head: ClassVar[str] = "cosine"


class BalancedSoftmax(Loss):
    """Balanced softmax (Ren et al. 2020)."""

    kind: Literal["balanced_softmax"]
    share: float = Field(default=1.0, ge=0, le=1)
    """alpha of alpha * balanced softmax + (1 - alpha) * cross-entropy (LDM-FG, appendix F)."""
    reads_sizes: ClassVar[bool] = True


class LogitAdjustment(Loss):
    """Logit adjustment (Menon et al. 2021)."""

    kind: Literal["logit_adjustment"]
    tau: float = Field(default=1.0, ge=0)
    """Power of the prior; 1 is balanced softmax, 0 cross-entropy."""
    reads_sizes: ClassVar[bool] = True


LOSSES: tuple[type[Loss], ...] = (
    CrossEntropy,
    WeightedCrossEntropy,
    Focal,
    Ldam,
    BalancedSoftmax,
    LogitAdjustment,
)
"""Types of losses; register new ones here."""
