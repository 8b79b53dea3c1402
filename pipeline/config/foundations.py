"""foundations: pretrained models that generators draw with, and that look at their pictures. They belong to no data set."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator

from pipeline.config.parts import Part, Reference, RunPart, is_file, on_disk
from pipeline.config.prompts import checked_template

_MARKS = ("model_index.json", "open_clip_config.json", "config.json")
"""A folder with one of these files has a model."""


class Foundation(RunPart):
    """Base of all foundations. The module with `make` is `pipeline.foundations.<kind>`."""

    kind: str

    fetched: ClassVar[bool] = False
    """Whether the stage `fetch` gets its files from a hub."""
    trains: ClassVar[bool] = False
    """Whether the stage `foundation` trains it, on the left-out pictures of a data set."""

    @field_validator("where")
    @classmethod
    def _belongs_to_no_data_set(cls, where: dict[str, Any]) -> dict[str, Any]:
        if where:
            raise ValueError("a foundation belongs to no data set, so it has no `where`; write another foundation")
        return where

    def modules(self) -> list[str]:
        return [f"foundations.{self.kind}"]

    def needs_subset(self) -> bool:
        return False

    def missing(self) -> str | None:
        """What to get before a job can make the foundation; None if everything is there."""
        return None

    def space(self) -> int:
        """Bytes of the files that its job writes, where they are many; 0 else."""
        return 0


class Standard(Foundation):
    """A model whose files are in the format of diffusers, open_clip or transformers already."""

    variant: str | None = None
    """The form of the weights where there are several, as `fp16`; components without it give their usual ones."""
    allow_pickle: bool = False
    """Whether weights may be pickles. No code in them runs, but prefer safetensors."""
    safety_checker: bool = False
    """Get and check the model's safety checker too, for generators with `safety_checker: true`."""


class Folder(Standard):
    """A model in a local folder, in the format of diffusers, open_clip or transformers. It is used where it lies."""

    kind: Literal["folder"]
    path: str
    """The folder with `model_index.json`, `open_clip_config.json` or `config.json`; a path starts where snakemake runs, or with /."""

    def missing(self) -> str | None:
        folder = Path(on_disk(self.path))
        index = folder.parent / _MARKS[0]
        if is_file(index) and f'"{folder.name}"' in index.read_text(encoding="utf-8", errors="replace"):
            return f"path is '{self.path}', which is a component of the model in '{folder.parent}'; name that folder"
        if any(is_file(folder / name) for name in _MARKS):
            return None
        return (
            f"path is '{self.path}', but this folder has no {', no '.join(_MARKS)}; put a model in the format of diffusers,"
            " open_clip or transformers there, or correct the path"
        )


class Pretrained(Standard):
    """A model on a hub, in the format of diffusers, open_clip or transformers. It is fetched once; jobs need no network."""

    kind: Literal["pretrained"]
    hub: tuple[str, ...] = Field(min_length=1)
    """Where it is: `owner/name`, or `owner/name@revision`. The first one that the hub has is taken."""

    fetched: ClassVar[bool] = True

    @field_validator("hub")
    @classmethod
    def _names_models(cls, hub: tuple[str, ...]) -> tuple[str, ...]:
        for name in hub:
            if not re.fullmatch(r"[\w.-]+/[\w.-]+(@[\w./-]+)?", name):
                raise ValueError(f"'{name}' is no model's name; write owner/name, or owner/name@revision")
        return hub

    def settings(self) -> dict[str, Any]:
        return self.model_dump(mode="json", exclude={"hub", "where"})

    def fetching_settings(self) -> dict[str, Any]:
        """Settings of the stage `fetch`."""
        return self.model_dump(mode="json", include={"hub", "variant", "allow_pickle", "safety_checker"})


class Steps(Part):
    """The training of one network of a small foundation, with AdamW."""

    steps: int = Field(default=300, ge=1)
    """Steps of training."""
    batch_size: int = Field(default=64, ge=1)
    """Pictures in a step."""
    learning_rate: float = Field(default=2e-3, gt=0)
    """The learning rate."""
    ema_decay: float | None = Field(default=None, gt=0, lt=1)
    """Keep an exponential moving average of the weights."""


Channels = Annotated[tuple[Annotated[int, Field(ge=8, multiple_of=8)], ...], Field(min_length=1)]


class Vae(Steps):
    """A VAE of diffusers (AutoencoderKL)."""

    channels: Channels = (16, 32)
    """Channels of each level; latents have half the side for each level after the first."""
    batch_size: int = Field(default=32, ge=1)
    """Pictures in a step."""
    ema_decay: float | None = Field(default=0.99, gt=0, lt=1)
    """Keep an exponential moving average of the weights."""


class Clip(Steps):
    """A CLIP of open_clip with a vision transformer."""

    width: int = Field(default=64, ge=16, multiple_of=16)
    """Width of both towers, in heads of 16."""
    text_layers: int = Field(default=2, ge=1)
    """Layers of the text encoder."""
    vision_layers: int = Field(default=3, ge=1)
    """Layers of the vision transformer."""
    patches: int = Field(default=4, ge=1)
    """Patches along a side of the picture."""
    batch_size: int = Field(default=128, ge=1)
    """Pictures in a step."""
    learning_rate: float = Field(default=1e-3, gt=0)
    """The learning rate."""


class Unet(Steps):
    """A U-Net of diffusers (UNet2DConditionModel) for latents, with a text encoder that CLIP has trained."""

    channels: Channels = (32, 64)
    """Channels of each level; all but the first look at the text."""
    steps: int = Field(default=450, ge=1)
    """Steps of training."""
    ema_decay: float | None = Field(default=0.99, gt=0, lt=1)
    """Keep an exponential moving average of the weights."""


class Mini(Foundation):
    """A small Stable Diffusion and a small CLIP, trained on the spot on the pictures that a long tail left out.

    Its pictures use pictures that other methods do not have, so tables show them apart.
    """

    kind: Literal["mini"]
    dataset: str
    """The data set; the foundation is trained on its pictures of the split `rest`, with their classes' names."""
    side: int | None = Field(default=None, ge=8)
    """Side in pixels of the pictures that it sees and draws: their middles, scaled. By default as they are stored, which must then be
    squares of one size. Each training takes as many times longer as pictures have more pixels."""
    caption: str = "A photo of a {class}."
    """The sentence with the name of a class that a picture is seen with."""
    vae: Vae = Vae()
    """The VAE."""
    clip: Clip = Clip()
    """The CLIP."""
    unet: Unet = Unet()
    """The U-Net."""
    seed: int = Field(default=0, ge=0, le=2**32 - 1)
    """Seed of all three."""

    trains: ClassVar[bool] = True
    references: ClassVar[dict[str, Reference]] = {
        "dataset": Reference("datasets", {"manifest": "manifest", "real": "real"})
    }

    def check(self, parts: Mapping[str, Mapping[str, Part]]) -> None:
        if remedy := parts["datasets"][self.dataset].without_rest():
            raise ValueError(
                f"it trains on pictures that {self.dataset} leaves out, but there are none; {remedy}, or name another data set,"
                " because a foundation draws for any"
            )
        if parts["datasets"][self.dataset].varied_sides and self.side is None:
            raise ValueError(f"the pictures of {self.dataset} differ in size; set side, in pixels")

    @field_validator("caption")
    @classmethod
    def _has_a_class(cls, caption: str) -> str:
        return checked_template(caption)


class Glide(Foundation):
    """GLIDE (Nichol et al. 2022), from the files that its authors published. They are read once, and converted."""

    kind: Literal["glide"]
    base: str
    """Its base.pt, which draws pictures of 64 px. Paths start where snakemake runs, unless they start with /."""
    upsampler: str | None = None
    """Its upsample.pt, for pictures of 256 px."""
    vocabulary: str
    """GPT-2's merges, as in its vocab.bpe.gz."""

    def missing(self) -> str | None:
        for key in ("base", "upsampler", "vocabulary"):
            path = getattr(self, key)
            if path is not None and not Path(on_disk(path)).is_file():
                return (
                    f"{key} is '{path}', but there is no such file; put it there (docs/text_to_image.md says where it was"
                    " published), or correct the path"
                )
        return None

    def space(self) -> int:
        return sum(Path(on_disk(path)).stat().st_size for path in (self.base, self.upsampler) if path is not None)


FOUNDATIONS: dict[str, type[Foundation]] = {"pretrained": Pretrained, "folder": Folder, "glide": Glide, "mini": Mini}
"""Kind -> type of its entries; register new kinds here."""
