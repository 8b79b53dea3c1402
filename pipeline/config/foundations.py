"""foundations: text-to-image models that generators draw with. They belong to no data set."""

from pathlib import Path
from typing import Any, Literal

from pydantic import field_validator

from pipeline.config.parts import RunPart, on_disk


class Foundation(RunPart):
    """Base of all foundations. The module with `make` is `pipeline.foundations.<kind>`."""

    kind: str

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
    """A model in a local folder, in diffusers' format. It is used where it lies, and nothing is copied."""

    kind: Literal["folder"]
    path: str
    """The folder with `model_index.json`; it starts where snakemake runs, unless it starts with /."""

    def missing(self) -> str | None:
        if (Path(on_disk(self.path)) / "model_index.json").is_file():
            return None
        return (
            f"path is '{self.path}', but this folder has no model_index.json; put a model in diffusers' format there, or"
            " correct the path"
        )


FOUNDATIONS: dict[str, type[Foundation]] = {"folder": Folder}
"""Kind -> type of its entries; register new kinds here."""
