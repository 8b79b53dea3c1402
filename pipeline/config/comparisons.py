"""comparisons: pictures of a pool side by side, drawn from the same noise as keys of the pool vary."""

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import Field, model_validator

from pipeline.config.parts import Part, Reference

Values = dict[str, tuple[Any, ...]]


class Comparison(Part):
    """One picture: a row for each value of a key, and a column for each value of another one, or for each of some pictures."""

    pool: str
    """The pool that draws; each cell is a pool like it, of a few pictures."""
    datasets: tuple[str, ...] = Field(min_length=1)
    """Data sets."""
    classes: tuple[str, ...] = Field(min_length=1)
    """Names of the classes to draw; the rows of one come after those of another."""
    rows: Values = Field(min_length=1, max_length=1)
    """A key of the pool, as `draw.guidance_scale` -> its values."""
    columns: Values = Field(default={}, max_length=1)
    """Another key and its values; without one, columns are pictures."""
    pictures: int = Field(default=8, ge=1)
    """Pictures of a class in a row, without `columns`."""
    cells: tuple[str, ...] = ()
    """The pools of the cells, row by row; the workflow sets this."""

    references: ClassVar[dict[str, Reference]] = {
        "datasets": Reference("datasets"),
        "pool": Reference("pools"),
        "cells": Reference("pools"),
    }

    @model_validator(mode="after")
    def _has_values(self) -> "Comparison":
        keys = [*self.rows, *self.columns]
        if len(set(keys)) < len(keys):
            raise ValueError(f"rows and columns have the same key, {keys[0]}; name another one")
        for key, values in (self.rows | self.columns).items():
            if key.split(".")[0] in (*self.few(1), "where", "cells"):
                raise ValueError(f"{key} cannot vary, because a comparison sets it itself; vary another key")
            if not values:
                raise ValueError(f"{key} has no values; give at least one")
        if self.columns and self.pictures != type(self).model_fields["pictures"].default:
            raise ValueError("pictures is for a comparison without columns; remove one of them")
        return self

    def check(self, parts: Mapping[str, Mapping[str, Part]]) -> None:
        if parts["pools"][self.pool].cells == "group":
            raise ValueError(f"classes are compared, but {self.pool} fills groups; name a pool of classes")

    def changes(self) -> list[dict[str, Any]]:
        """Keys of the pool and their values in each cell, row by row."""
        ((row, values),) = self.rows.items()
        across = [{column: value} for column, values in self.columns.items() for value in values] or [{}]
        return [{row: value} | other for value in values for other in across]

    def few(self, batch_size: int) -> dict[str, Any]:
        """Keys that make a cell's pool small; the pool's own batches have `batch_size` pictures."""
        pictures = 1 if self.columns else self.pictures
        return {
            "classes": self.classes,
            "per_class": pictures,
            "fill_to": None,
            "fill_range": (0, 1),
            "surplus": 0.0,
            "shots": ("many", "medium", "few"),
            "shards": 1,
            "batch_size": min(batch_size, pictures * len(self.classes)),
        }

    def settings(self) -> dict[str, Any]:
        """Settings of the stage `comparison`: classes, pictures in a cell, and labels of rows and columns."""
        labels = {
            name: [f"{key} {value}" for key, values in given.items() for value in values]
            for name, given in (("rows", self.rows), ("columns", self.columns))
        }
        return {"classes": list(self.classes), "pictures": 1 if self.columns else self.pictures} | labels
