"""data_sampler: choice and order of the pictures in a classifier's epoch."""

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from pipeline.config.parts import Part, by_kind


class Instance(Part):
    """Permutations of all pictures."""

    kind: Literal["instance"]


class ClassAware(Part):
    """Classes in shuffled cycles, with a few pictures of a class in a row (Kang et al. 2020)."""

    kind: Literal["class_aware"]
    in_a_row: int = Field(default=4, ge=1)
    """Pictures of a class in a row."""


class Power(Part):
    """Pictures of a class of n are drawn with probability proportional to n^-power; 1 is the sampler of CMO."""

    kind: Literal["power"]
    power: float = Field(default=1.0, ge=0)
    """0 draws all pictures alike, 1 all classes, or groups, alike."""
    by: Literal["class", "group"] = "class"
    """Count the pictures of a class, or those of a group, which may have several classes."""


class Progressive(Part):
    """Moves over the epochs from equal pictures to equal classes (Kang et al. 2020)."""

    kind: Literal["progressive"]


class EffectiveNumber(Part):
    """Pictures are drawn with probability proportional to (1 - beta) / (1 - beta^n) (Cui et al. 2019)."""

    kind: Literal["effective_number"]
    beta: float = Field(default=0.9999, ge=0, lt=1)
    """Near 1, all classes are drawn alike; 0 draws all pictures alike."""


class HalfReal(Part):
    """Real and generated pictures alternate in each batch (LDM-FG, Sec. 4.1)."""

    kind: Literal["half_real"]


DataSampler = Annotated[
    Instance | ClassAware | Power | Progressive | EffectiveNumber | HalfReal,
    Field(discriminator="kind"),
    BeforeValidator(by_kind),
]
PatchSampler = Annotated[Instance | Power, Field(discriminator="kind"), BeforeValidator(by_kind)]
