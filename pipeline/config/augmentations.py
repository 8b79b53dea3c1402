"""augment: steps that change a training picture."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from pipeline.config.parts import Part, by_kind

Probability = Annotated[float, Field(ge=0, le=1)]


class Crop(Part):
    """A crop of the padded picture."""

    kind: Literal["crop"]
    padding: int = Field(default=4, ge=0)
    """Shift by up to this many pixels; black outside the picture."""


class Flip(Part):
    """Mirror left to right."""

    kind: Literal["flip"]
    probability: Probability = 0.5
    """Probability of mirroring left to right."""


class ResizedCrop(Part):
    """A crop of random area and shape, resized to the whole."""

    kind: Literal["resized_crop"]
    smallest: float = Field(default=0.08, gt=0, le=1)
    """Smallest share of the picture's area."""


class ColorJitter(Part):
    """Random brightness, contrast, saturation and hue."""

    kind: Literal["color_jitter"]
    brightness: float = Field(default=0.4, ge=0)
    """Factor from 1 - b to 1 + b."""
    contrast: float = Field(default=0.4, ge=0)
    """Factor from 1 - c to 1 + c."""
    saturation: float = Field(default=0.4, ge=0)
    """Factor from 1 - s to 1 + s."""
    hue: float = Field(default=0.1, ge=0, le=0.5)
    """Turn of the colour circle, from -h to h."""
    probability: Probability = 1.0
    """Probability that a picture is changed."""


class Grayscale(Part):
    """Remove the colours."""

    kind: Literal["grayscale"]
    probability: Probability = 0.2
    """Probability that a picture loses its colours."""


class Blur(Part):
    """Gaussian blur."""

    kind: Literal["blur"]
    sigma: tuple[float, float] = (0.1, 2.0)
    """Least and most standard deviation, in pixels."""
    probability: Probability = 0.5
    """Probability that a picture is blurred."""

    @model_validator(mode="after")
    def _range(self) -> "Blur":
        if not 0 < self.sigma[0] <= self.sigma[1]:
            raise ValueError(f"sigma is {list(self.sigma)}; it must be [smallest, largest], in pixels and above 0")
        return self


class AutoAugment(Part):
    """A learned policy (Cubuk et al. 2019)."""

    kind: Literal["auto_augment"]
    policy: Literal["cifar10"] = "cifar10"
    """The data set that the policy was learned on; there is only the policy of CIFAR-10."""


class RandAugment(Part):
    """Random operations (Cubuk et al. 2020)."""

    kind: Literal["rand_augment"]
    operations: int = Field(default=2, ge=1)
    """Operations per picture."""
    magnitude: float = Field(default=10, ge=0, le=10)
    """Mean strength of an operation."""
    magnitude_std: float = Field(default=0.5, ge=0)
    """Standard deviation of the strength."""


class Cutout(Part):
    """A black square (DeVries and Taylor 2017)."""

    kind: Literal["cutout"]
    size: int = Field(default=16, ge=1)
    """Side of the black square, in pixels."""


_ANY = Crop | Flip | ResizedCrop | ColorJitter | Grayscale | Blur | AutoAugment | RandAugment | Cutout
_Steps = tuple[Annotated[_ANY, Field(discriminator="kind"), BeforeValidator(by_kind)], ...]


class Either(Part):
    """One of two lists of steps, drawn for each picture."""

    kind: Literal["either"]
    first: _Steps = Field(min_length=1)
    """The steps of the first list."""
    second: _Steps = Field(min_length=1)
    """The steps of the second list."""
    probability: Probability = 0.5
    """Probability of the first list."""


Step = Annotated[_ANY | Either, Field(discriminator="kind")]
Augment = tuple[Annotated[Step, BeforeValidator(by_kind)], ...]
