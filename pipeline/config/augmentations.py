"""augment: what is done to a training picture, step by step."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from pipeline.config.parts import Part

Probability = Annotated[float, Field(ge=0, le=1)]


class Crop(Part):
    kind: Literal["crop"]
    padding: int = Field(default=4, ge=0)
    """Shift by up to so many pixels, with black from beyond the edge."""


class Flip(Part):
    kind: Literal["flip"]
    probability: Probability = 0.5


class ResizedCrop(Part):
    kind: Literal["resized_crop"]
    smallest: float = Field(default=0.08, gt=0, le=1)
    """The least share of the picture's area."""


class ColorJitter(Part):
    kind: Literal["color_jitter"]
    brightness: float = Field(default=0.4, ge=0)
    contrast: float = Field(default=0.4, ge=0)
    saturation: float = Field(default=0.4, ge=0)
    hue: float = Field(default=0.1, ge=0, le=0.5)
    probability: Probability = 1.0


class Grayscale(Part):
    kind: Literal["grayscale"]
    probability: Probability = 0.2


class Blur(Part):
    kind: Literal["blur"]
    sigma: tuple[float, float] = (0.1, 2.0)
    probability: Probability = 0.5

    @model_validator(mode="after")
    def _range(self) -> "Blur":
        if not 0 < self.sigma[0] <= self.sigma[1]:
            raise ValueError(
                f"sigma is {list(self.sigma)}; the least and the most, in pixels and above 0, are expected"
            )
        return self


class AutoAugment(Part):
    kind: Literal["auto_augment"]
    policy: Literal["cifar10"] = "cifar10"


class RandAugment(Part):
    kind: Literal["rand_augment"]
    operations: int = Field(default=2, ge=1)
    magnitude: float = Field(default=10, ge=0, le=10)
    magnitude_std: float = Field(default=0.5, ge=0)


class Cutout(Part):
    kind: Literal["cutout"]
    size: int = Field(default=16, ge=1)
    """Side of the black square, in pixels."""


def _named(value: Any) -> Any:
    """`flip` is short for {kind: flip}."""
    return {"kind": value} if isinstance(value, str) else value


Step = Annotated[
    Crop | Flip | ResizedCrop | ColorJitter | Grayscale | Blur | AutoAugment | RandAugment | Cutout,
    Field(discriminator="kind"),
]
Augment = tuple[Annotated[Step, BeforeValidator(_named)], ...]
