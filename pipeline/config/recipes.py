"""recipes: classifiers, the data sets they run on, and the keys varied upstream of them."""

from collections.abc import Iterator
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from pipeline.config.parts import Part, Reference


class Recipe(Part):
    """One row of results for each data set, seed and combination of varied values."""

    classifier: str | None = None
    """One classifier; its runs have the recipe's name."""
    classifiers: tuple[str, ...] = ()
    """Instead of `classifier`: several classifiers; the runs of each have its name."""
    quality: str | None = None
    """A quality to report beside the accuracies."""
    datasets: tuple[str, ...] = Field(min_length=1)
    """Data sets to run on."""
    seeds: tuple[int, ...] = Field(default=(0,), min_length=1)
    """Seeds of the classifiers, each a run."""
    seeds_of: tuple[Literal["classifier", "pool", "generator"], ...] = ("classifier",)
    """What each of the seeds is given to. With `pool` and `generator`, each seed has generated pictures of its own, and
    deviations show their chance too."""
    main: bool = False
    """Whether it is part of `all_<family>`."""
    vary: dict[str, Any] = {}
    """`section.key` (the recipe's own) or `sections.name.key` -> a list of values to run, or one value to set."""

    references: ClassVar[dict[str, Reference]] = {
        "classifier": Reference("classifiers"),
        "classifiers": Reference("classifiers"),
        "quality": Reference("qualities"),
        "datasets": Reference("datasets"),
    }

    @model_validator(mode="after")
    def _one_or_several(self) -> "Recipe":
        if (self.classifier is None) == (not self.classifiers):
            raise ValueError("exactly one of classifier and classifiers must be given")
        return self

    def each(self, name: str) -> "Iterator[tuple[str, Recipe]]":
        """(name of the runs, recipe of one classifier) for each classifier; `name` is the recipe's own."""
        if self.classifier is not None:
            yield name, self
        for classifier in self.classifiers:
            yield classifier, self.model_copy(update={"classifier": classifier, "classifiers": ()})

    @field_validator("seeds_of")
    @classmethod
    def _with_classifier(cls, seeds_of: tuple[str, ...]) -> tuple[str, ...]:
        if "classifier" not in seeds_of or len(set(seeds_of)) != len(seeds_of):
            raise ValueError(f"seeds_of is {list(seeds_of)}; it must have classifier, and each name once")
        return seeds_of

    @field_validator("seeds")
    @classmethod
    def _distinct(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) != len(seeds) or not 0 <= min(seeds) <= max(seeds) < 2**32:
            raise ValueError(f"seeds is {list(seeds)}; they must be distinct and lie in 0..{2**32 - 1}")
        return seeds
