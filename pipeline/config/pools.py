"""samples: pools of generated pictures. A pool is immutable; one pool serves every classifier seed."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field, field_validator, model_validator

from pipeline.config.datasets import Dataset
from pipeline.config.parts import Part
from pipeline.config.unread import refuse_unread


class Store(Part):
    """How a pool's pictures are kept in its shards."""

    side: int | None = Field(default=None, ge=1)
    """Side in pixels; the generator's own, unless said."""
    format: Literal["png", "jpeg", "webp"] = "png"
    quality: int = Field(default=95, ge=1, le=100)
    """For jpeg and webp; png is lossless."""

    @model_validator(mode="after")
    def _reads_all(self) -> "Store":
        refuse_unread(self)
        return self


class Samples(Part):
    """A pool: which generator, how many pictures of which classes, and how they are drawn."""

    generator: str
    fill_to: Literal["max"] | int | None = None
    """Fill every class to this many pictures, real ones counted; `max` is the largest class (DiffuLT's N_t)."""
    per_class: int | None = Field(default=None, ge=1)
    """Or: this many pictures of every class, whatever it has."""
    fill_range: tuple[float, float] = (0.0, 1.0)
    """The part of the asked pictures that this pool holds: pools over adjoining ranges add up."""
    shots: tuple[Literal["many", "medium", "few"], ...] = Field(default=("many", "medium", "few"), min_length=1)
    """Classes to make pictures of, by their training pictures: many > 100, medium 20..100, few < 20."""
    sampler: Literal["ddpm", "ddim"] = "ddpm"
    steps: int = Field(default=1000, ge=1)
    guidance: float = Field(default=1.6, ge=0)
    """omega in eps + omega (eps - eps_unconditional); 0 is none, and diffusers' scale is 1 + omega."""
    clip_denoised: bool = False
    """Clip the picture foreseen at each step to [-1, 1]: so in DDPM's code, without effect in CBDM's."""
    batch_size: int = Field(default=256, ge=1)
    shards: int = Field(default=1, ge=1, le=100_000)
    store: Store = Store()
    seed: int = Field(default=0, ge=0, le=2**32 - 1)

    references: ClassVar[dict[str, str]] = {"generator": "generators"}

    @field_validator("fill_to", mode="before")
    @classmethod
    def _fill_to(cls, value: Any) -> Any:
        whole = isinstance(value, int) and not isinstance(value, bool) and value >= 1
        if not (whole or value in ("max", None)):
            raise ValueError(f"it is {value!r}; write 'max' or a whole number of at least 1")
        return value

    @model_validator(mode="after")
    def _sizes(self) -> "Samples":
        if (self.fill_to is None) == (self.per_class is None):
            raise ValueError("exactly one of fill_to and per_class must be given")
        low, high = self.fill_range
        if not 0 <= low < high <= 1:
            raise ValueError(f"fill_range is [{low}, {high}]; it must satisfy 0 <= from < to <= 1")
        return self

    def check(self, parts: Mapping[str, Mapping[str, Part]]) -> None:
        timesteps = parts["generators"][self.generator].timesteps
        if timesteps % self.steps:
            raise ValueError(f"steps is {self.steps}; it must divide the generator's {timesteps} timesteps")

    def side(self, dataset: Dataset, parts: Mapping[str, Mapping[str, Part]]) -> int | None:
        """Pixels of the pool's pictures; None where they are of the stored ones' size, which is not known yet."""
        return self.store.side or parts["generators"][self.generator].side or dataset.side

    def overlaps(self, other: "Samples") -> bool:
        """Whether some pictures of both come from the same noise by the same steps, and so are the same."""
        alike = ("generator", "sampler", "steps", "guidance", "clip_denoised", "seed")
        if any(getattr(self, key) != getattr(other, key) for key in alike) or not set(self.shots) & set(other.shots):
            return False
        (low, high), (from_, to) = self.fill_range, other.fill_range
        adjoining = (self.fill_to, self.per_class) == (other.fill_to, other.per_class) and (high <= from_ or to <= low)
        return not adjoining

    def plan_settings(self) -> dict[str, Any]:
        """What the plan depends on: what to draw, and not how."""
        return self.model_dump(mode="json", include={"fill_to", "per_class", "fill_range", "shots", "seed"})

    def sampling_settings(self) -> dict[str, Any]:
        """What a shard depends on beyond its rows of the plan."""
        return self.model_dump(
            mode="json", include={"sampler", "steps", "guidance", "clip_denoised", "batch_size", "store"}
        )
