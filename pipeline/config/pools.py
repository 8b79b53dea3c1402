"""pools: sets of generated pictures of one plan. A pool is immutable; one pool serves every classifier seed."""

from collections.abc import Mapping
from functools import reduce
from operator import or_
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BeforeValidator, Field, model_validator

from pipeline.config.datasets import Dataset
from pipeline.config.draws import Ddpm, Feedback
from pipeline.config.generators import GENERATORS
from pipeline.config.parts import Part, Reference, RunPart, by_kind
from pipeline.config.unread import refuse_unread
from pipeline.learned import LEARNED

AnyDraw = Annotated[
    reduce(or_, dict.fromkeys(draw for generator in GENERATORS.values() for draw in generator.draws)),
    Field(discriminator="kind"),
    BeforeValidator(by_kind),
]


def _is_fill_to(value: Any) -> Any:
    whole = isinstance(value, int) and not isinstance(value, bool) and value >= 1
    if not (whole or value in ("max", None)):
        raise ValueError(f"it is {value!r}; write 'max' or a whole number of at least 1")
    return value


FillTo = Annotated[Literal["max"] | int | None, BeforeValidator(_is_fill_to)]


class Store(Part):
    """Storage of a pool's pictures in its shards."""

    side: int | None = Field(default=None, ge=1)
    """Side in pixels; by default the generator's own."""
    format: Literal["png", "jpeg", "webp"] = "png"
    """File format of a picture."""
    quality: int = Field(default=95, ge=1, le=100)
    """For jpeg and webp; png is lossless."""

    @model_validator(mode="after")
    def _reads_all(self) -> "Store":
        refuse_unread(self)
        return self


class Pool(RunPart):
    """Generated pictures: their generator, classes, numbers, and way of drawing."""

    generator: str
    """The generator that draws the pictures."""
    prompts: str | None = None
    """For a generator that draws from texts: the prompts. Those of a class take turns, by the index of the picture."""
    draw: AnyDraw = Ddpm(kind="ddpm")
    """How they are drawn."""
    guide: str | None = None
    """For a draw with `feedback`: the classifier whose feedback it is."""
    guide_seed: int = Field(default=0, ge=0, le=2**32 - 1)
    """Which of the guide's seeds."""
    cells: Literal["class", "group"] = "class"
    """What is filled. `group` fills each group of a data set that has them, whose prompts may have a {context} (LDM-FG, Sec. 4.2)."""
    fill_to: FillTo = None
    """Fill every class, or group, to this many pictures, including real ones; `max` is the largest (DiffuLT's N_t)."""
    per_class: int | None = Field(default=None, ge=1)
    """Instead of `fill_to`: this many pictures of every class, or group, whatever its real ones."""
    fill_range: tuple[float, float] = (0.0, 1.0)
    """The part of these pictures, and of their surplus, that this pool has; pools with adjoining ranges add up."""
    surplus: float = Field(default=0.0, ge=0)
    """Further pictures of each class, or group, as a share of those asked: only filters use them, where they reject others."""
    classes: tuple[str, ...] | None = Field(default=None, min_length=1)
    """Names of the only classes to generate pictures of; by default all."""
    shots: tuple[Literal["many", "medium", "few"], ...] = Field(default=("many", "medium", "few"), min_length=1)
    """Classes, or groups, to generate pictures of, by their training pictures: many > 100, medium 20 to 100, few < 20."""
    batch_size: int = Field(default=256, ge=1)
    """Pictures drawn at once; every batch has this size, the last one is padded."""
    shards: int = Field(default=1, ge=1, le=100_000)
    """Number of files that the pictures are stored in, with one job each."""
    store: Store = Store()
    """How the pictures are stored."""
    seed: int = Field(default=0, ge=0, le=2**32 - 1)
    """Seed of the pool; each picture has its own, made of it, the class and the index."""

    references: ClassVar[dict[str, Reference]] = {
        "generator": Reference("generators"),
        "prompts": Reference("prompts", stage="plan"),
        "guide": Reference("classifiers", {"guide": "weights", "guide_features": "features"}, seed="guide_seed"),
    }

    @model_validator(mode="after")
    def _sizes(self) -> "Pool":
        if (self.fill_to is None) == (self.per_class is None):
            raise ValueError("exactly one of fill_to and per_class must be given")
        check_range(self.fill_range)
        return self

    @property
    def feedback(self) -> Feedback | None:
        """The feedback that it is drawn with."""
        return getattr(self.draw, "feedback", None)

    @model_validator(mode="after")
    def _has_a_guide(self) -> "Pool":
        if (self.guide is None) != (self.feedback is None):
            raise ValueError("guide and the feedback of draw go together; set both, or none")
        return self

    def inputs_of(self, field: str) -> Mapping[str, str] | None:
        read = super().inputs_of(field)
        if field == "guide" and not (self.feedback and self.feedback.needs_features):
            return {name: output for name, output in read.items() if name == "guide"}
        return read

    def modules(self) -> list[str]:
        return ["guidance.feedback"] if self.feedback else []

    def check(self, parts: Mapping[str, Mapping[str, Part]]) -> None:
        if self.guide and self.feedback.side and parts["classifiers"][self.guide].foundation:
            raise ValueError(
                f"the guide {self.guide} sees pictures of its CLIP's side alone; remove the side of feedback"
            )
        generator = parts["generators"][self.generator]
        if type(self.draw) not in generator.draws:
            allowed = ", ".join(draw.model_fields["kind"].annotation.__args__[0] for draw in generator.draws)
            raise ValueError(f"draw is {self.draw.kind}, but {self.generator} accepts only {allowed}")
        generator.check_draw(self.draw, parts)
        if generator.reads_prompts not in (None, self.prompts is not None):
            needs = (
                "draws from texts; name some prompts" if generator.reads_prompts else "reads no texts; remove prompts"
            )
            raise ValueError(f"{self.generator} {needs}")
        if self.prompts and parts["prompts"][self.prompts].in_context and self.cells == "class":
            raise ValueError(f"{self.prompts} have a place for a context, but classes have none; set cells: group")
        learned = parts["prompts"][self.prompts].learned if self.prompts else None
        if learned not in (None, self.draw.reads_checkpoints):
            needs = "needs prompts with" if self.draw.reads_checkpoints else "has learned nothing for"
            raise ValueError(f"{self.generator} {needs} a {LEARNED}, the place of learned vectors; name other prompts")

    def also_read(self, stage: str) -> tuple[str, ...]:
        return ("generator",) if stage == "plan" and self.draw.reads_checkpoints else ()

    def needs_subset(self) -> bool:
        return self.cells == "group" or self.per_class is None or len(set(self.shots)) < 3 or self.draw.reads_sources

    def check_on(self, dataset: Dataset, parts: Mapping[str, Mapping[str, Part]]) -> None:
        if self.cells == "group" and not dataset.may_have_groups:
            raise ValueError("cells is group, but the data set has no groups; set cells: class")

    def side(self, dataset: Dataset, parts: Mapping[str, Mapping[str, Part]]) -> int | None:
        """Side of the pool's pictures in pixels; None if it is that of the stored ones and not known yet."""
        return self.store.side or parts["generators"][self.generator].side_on(dataset)

    def overlaps(self, other: "Pool") -> bool:
        """Whether both pools have some of the same pictures: from the same noise by the same steps."""
        drawn_by = ("generator", "prompts", "draw", "guide", "guide_seed", "cells", "seed")
        if any(getattr(self, key) != getattr(other, key) for key in drawn_by) or not set(self.shots) & set(other.shots):
            return False
        if self.classes and other.classes and not set(self.classes) & set(other.classes):
            return False
        sizes = ("fill_to", "per_class", "surplus")
        alike = all(getattr(self, key) == getattr(other, key) for key in sizes)
        return not (alike and adjoining(self.fill_range, other.fill_range))

    def work(self) -> dict[str, Any]:
        return {"steps": self.draw.cost_steps}

    def plan_settings(self) -> dict[str, Any]:
        """Settings of the plan: the pictures to draw, and of the way of drawing only what differs between them."""
        own = {"cells", "fill_to", "per_class", "fill_range", "surplus", "classes", "shots", "seed"}
        return self.model_dump(mode="json", include=own) | self.draw.plan_settings()

    def sampling_settings(self, parts: Mapping[str, Mapping[str, Part]]) -> dict[str, Any]:
        """Settings of a shard, besides its rows of the plan and the trained generator."""
        own = self.model_dump(mode="json", include={"draw", "batch_size", "store"})
        return own | {"generator": parts["generators"][self.generator].drawing_settings()}


def check_range(fill_range: tuple[float, float]) -> None:
    """Raise ValueError if it is not a part of 0 to 1."""
    low, high = fill_range
    if not 0 <= low < high <= 1:
        raise ValueError(f"fill_range is [{low}, {high}]; it must satisfy 0 <= from < to <= 1")


def adjoining(one: tuple[float, float], other: tuple[float, float]) -> bool:
    """Whether two ranges have nothing in common."""
    return one[1] <= other[0] or other[1] <= one[0]
