"""What every entry of the config has in common."""

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

REAL = "real"  # in a classifier's data: the subset's own training pictures, which are no part of the config


class Part(BaseModel):
    """A named entry of a section: closed (unknown keys are errors) and immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    references: ClassVar[dict[str, str]] = {}
    """Field -> section, for every field that names other parts (a name, a list of names, or None)."""

    def referenced(self) -> Iterator[tuple[str, str, str]]:
        """(field, section, name) of every part that this one names."""
        for field, section in self.references.items():
            value = getattr(self, field)
            names = [value] if isinstance(value, str) else value or []
            yield from ((field, section, name) for name in names if (field, name) != ("data", REAL))

    def settings(self) -> dict[str, Any]:
        """What the stage reads: every key but the references, which reach it as files."""
        return self.model_dump(mode="json", exclude=set(self.references))

    def check(self, parts: Mapping[str, Mapping[str, "Part"]]) -> None:
        """Raise ValueError where this part does not fit the parts it names."""

    def check_on(self, dataset: Any, parts: Mapping[str, Mapping[str, "Part"]]) -> None:
        """Raise ValueError where this part does not fit a data set on which a recipe runs it, as far as is known before."""
