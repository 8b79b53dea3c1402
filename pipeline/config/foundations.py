"""foundations: pretrained models that generators draw with, and that look at their pictures. They belong to no data set."""

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, field_validator

from pipeline.config.parts import RunPart, on_disk

_MARKS = ("model_index.json", "open_clip_config.json", "config.json")
"""A folder with one of these files has a model."""


class Foundation(RunPart):
    """Base of all foundations. The module with `make` is `pipeline.foundations.<kind>`."""

    kind: str
    variant: str | None = None
    """The form of the weights where there are several, as `fp16`; components without it give their usual ones."""
    allow_pickle: bool = False
    """Whether weights may be pickles. No code in them runs, but prefer safetensors."""

    fetched: ClassVar[bool] = False
    """Whether the stage `fetch` gets its files from a hub."""

    @field_validator("where")
    @classmethod
    def _belongs_to_no_data_set(cls, where: dict[str, Any]) -> dict[str, Any]:
        if where:
            raise ValueError("a foundation belongs to no data set, so it has no `where`; write another foundation")
        return where

    def modules(self) -> list[str]:
        return [f"foundations.{self.kind}"]

    def missing(self) -> str | None:
        """What to get before a job can make the foundation; None if everything is there."""
        return None


class Folder(Foundation):
    """A model in a local folder, in the format of diffusers, open_clip or transformers. It is used where it lies."""

    kind: Literal["folder"]
    path: str
    """The folder with `model_index.json`, `open_clip_config.json` or `config.json`; a path starts where snakemake runs, or with /."""

    def missing(self) -> str | None:
        if any((Path(on_disk(self.path)) / name).is_file() for name in _MARKS):
            return None
        return (
            f"path is '{self.path}', but this folder has no {', no '.join(_MARKS)}; put a model in the format of diffusers,"
            " open_clip or transformers there, or correct the path"
        )


class Pretrained(Foundation):
    """A model on a hub, in the format of diffusers, open_clip or transformers. It is fetched once; jobs need no network."""

    kind: Literal["pretrained"]
    hub: tuple[Annotated[str, Field(pattern=r"^[\w.-]+/[\w.-]+(@[\w./-]+)?$")], ...] = Field(min_length=1)
    """Where it is: `owner/name`, or `owner/name@revision`. The first one that the hub has is taken."""

    fetched: ClassVar[bool] = True

    def settings(self) -> dict[str, Any]:
        return self.model_dump(mode="json", exclude={"hub", "where"})

    def fetching_settings(self) -> dict[str, Any]:
        """Settings of the stage `fetch`."""
        return self.model_dump(mode="json", include={"hub", "variant", "allow_pickle"})


FOUNDATIONS: dict[str, type[Foundation]] = {"pretrained": Pretrained, "folder": Folder}
"""Kind -> type of its entries; register new kinds here."""
