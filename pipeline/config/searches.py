"""searches: keys of classifiers that are drawn at random and chosen on the validation split."""

import math
import random
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from pipeline.config.parts import Part, RunPart, by_kind

TRIAL = "~trial="
"""In the name of a trial, what stands between the classifier's name and the trial's number."""
FIXED = (
    *("scheme", "search", "trial", "trials", "where", "gpus", "side", "backbone", "width", "select_by"),
    *("rounds", "one_training", "round", "continues"),
    *("data", "steps_as", "init", "foundation", "pretrained"),
)
"""Keys that a search cannot draw, because jobs, networks or the choice itself depend on them."""


class Between(Part):
    """Base of numbers from `low` to `high`."""

    low: float
    """The lowest value."""
    high: float
    """The highest one."""
    whole: bool = False
    """Round down to a whole number."""

    @model_validator(mode="after")
    def _rises(self) -> "Between":
        if not self.low < self.high:
            raise ValueError(f"low is {self.low:g} and high {self.high:g}; low must be less")
        return self

    def _rounded(self, value: float) -> float | int:
        return math.floor(value) if self.whole else value


class Uniform(Between):
    """All numbers alike."""

    kind: Literal["uniform"]

    def value(self, share: float) -> float | int:
        """The value at a share in [0, 1) of the distribution."""
        return self._rounded(self.low + share * (self.high - self.low))


class LogUniform(Between):
    """Numbers whose logarithms are drawn alike: 10^U(-4, -2) is from 0.0001 to 0.01."""

    kind: Literal["log_uniform"]
    low: float = Field(gt=0)
    """The lowest value."""

    def value(self, share: float) -> float | int:
        return self._rounded(self.low * (self.high / self.low) ** share)


class Choice(Part):
    """One of some values."""

    kind: Literal["choice"]
    values: tuple[Any, ...] = Field(min_length=1)
    """The values, all alike."""

    def value(self, share: float) -> Any:
        return self.values[int(share * len(self.values))]


Distribution = Annotated[Uniform | LogUniform | Choice, Field(discriminator="kind"), BeforeValidator(by_kind)]


class Search(RunPart):
    """Trials of a classifier with drawn keys. The best one's values are the classifier's for all its seeds."""

    where: dict[str, dict[str, Any]] = Field(default={}, max_length=0)
    """Of no effect here: a search is the same on all data sets."""

    trials: int = Field(default=10, ge=2)
    """How many values of the keys are drawn, each trained once, with seed 0. Values that come up again are not tried again."""
    over: dict[str, Distribution] = Field(min_length=1)
    """Key of the classifier, as `learning_rate` or `loss.gamma` -> the distribution of its values."""
    by: Literal["val_top1", "val_worst_group"] = "val_top1"
    """What the best trial is highest in, on the validation split; among equals, `val_top1` decides."""
    seed: int = Field(default=0, ge=0, le=2**32 - 1)
    """Seed of the values."""

    @field_validator("over")
    @classmethod
    def _can_be_drawn(cls, over: dict[str, Any]) -> dict[str, Any]:
        for key in over:
            if not re.fullmatch(r"\w+(\.\w+)*", key):
                raise ValueError(f"'{key}' is no key; write it like learning_rate, or like loss.gamma")
            if key.split(".")[0] in FIXED:
                raise ValueError(f"'{key}' cannot be drawn; give it in the classifier, or in the vary of a recipe")
        return over

    def values(self) -> list[dict[str, Any]]:
        """Key -> value, of each trial. Each key has numbers of its own, so that another key or trial changes none."""
        found: list[dict[str, Any]] = []
        for trial in range(self.trials):
            drawn = {
                key: distribution.value(random.Random(f"{self.seed}/{key}/{trial}").random())
                for key, distribution in self.over.items()
            }
            found += [drawn] if drawn not in found else []
        return found

    def choosing_settings(self) -> dict[str, Any]:
        """Settings of the stage `search`."""
        return {"by": self.by, "trials": self.values()}


def trial_name(classifier: str, trial: int) -> str:
    """The name of a trial's classifier."""
    return f"{classifier}{TRIAL}{trial}"


def searched(name: str) -> str:
    """The name of the classifier that a trial is of; any other name is its own."""
    return name.partition(TRIAL)[0]


def nested(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """`{"loss.gamma": 2}` as `[{"loss": {"gamma": 2}}]`, one mapping for each key, the outer ones first."""
    found = []
    for key, value in sorted(values.items(), key=lambda item: item[0].count(".")):
        for part in reversed(key.split(".")):
            value = {part: value}
        found.append(value)
    return found
