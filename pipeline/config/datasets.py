"""datasets: which raw data, and how long its tail is. One entry is one subset."""

from typing import Any, Literal

from pydantic import Field, model_validator

from pipeline.config.parts import Part

TRAIN_PER_CLASS = {"digits": 120, "cifar10": 5000, "cifar100": 500}


class LongTailed(Part):
    """An exponentially long-tailed subset of a balanced data set (LDAM, Cao et al. 2019)."""

    source: Literal["digits", "cifar10", "cifar100"]
    imbalance_factor: float = Field(ge=1)
    """Pictures in the largest class over pictures in the smallest."""
    largest_class: int | None = Field(default=None, ge=1)
    """Pictures in the largest class; all that the source has, unless said."""
    selection_seed: int = Field(default=0, ge=0, le=2**32 - 1)
    family: str | None = None
    """`all_<family>` runs this entry; by default the entry at the root of its `extends`."""

    @model_validator(mode="after")
    def _class_can_give(self) -> "LongTailed":
        available = TRAIN_PER_CLASS[self.source]
        if self.largest_class is not None and self.largest_class > available:
            raise ValueError(
                f"largest_class is {self.largest_class}, but a class of {self.source} has {available} training pictures"
            )
        return self

    def settings(self) -> dict[str, Any]:
        return self.model_dump(mode="json", exclude={"family"})
