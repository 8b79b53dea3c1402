"""recipes: a classifier, the data sets it runs on, and what is varied upstream of it."""

from typing import Any, ClassVar

from pydantic import Field, field_validator

from pipeline.config.parts import Part


class Recipe(Part):
    """One row of results for each data set, seed and combination of varied values."""

    classifier: str
    quality: str | None = None
    datasets: tuple[str, ...] = Field(min_length=1)
    seeds: tuple[int, ...] = Field(default=(0,), min_length=1)
    main: bool = False
    """Part of `all_<family>`."""
    vary: dict[str, Any] = {}
    """`section.key` (the recipe's own) or `sections.name.key` -> a list of values to run, or one value to set."""

    references: ClassVar[dict[str, str]] = {
        "classifier": "classifiers",
        "quality": "qualities",
        "datasets": "datasets",
    }

    @field_validator("seeds")
    @classmethod
    def _distinct(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) != len(seeds) or not 0 <= min(seeds) <= max(seeds) < 2**32:
            raise ValueError(f"seeds is {list(seeds)}; they must be distinct and lie in 0..{2**32 - 1}")
        return seeds
