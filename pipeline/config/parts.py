"""Base classes of the config's entries."""

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, get_args

from pydantic import BaseModel, ConfigDict, model_validator

REAL = "real"  # in a classifier's data: the subset's own training pictures, which have no entry in the config
REST = "rest"  # the same of the pictures that the long tail left out
OWN = {REAL: "train", REST: "rest"}
"""Name in a classifier's data -> split of the subset."""


class Reference(NamedTuple):
    """Job inputs that come from a field with names of parts of another section."""

    section: str
    reads: Mapping[str, str] | None = None
    """Name of the input -> output of a stage (artifacts.OUTPUTS). By default, the field's name -> the section's main output."""
    seed: str | None = None
    """The field with the seed of the classifier to read; None: the seed of the job."""
    stage: str | None = None
    """The stage that reads it; by default the section's main one."""


class Part(BaseModel):
    """A mapping of the config: closed (unknown keys are errors) and immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    references: ClassVar[dict[str, Reference]] = {}
    """For every field that names other parts: one name, a list of names, or None."""
    files: ClassVar[tuple[str, ...]] = ()
    """Fields that name files, which are inputs of the part's jobs."""

    @model_validator(mode="before")
    @classmethod
    def _true_is_no_number(cls, values: Any) -> Any:
        """Refuse true and false for numbers; pydantic would take them for 1 and 0."""
        for key, value in values.items() if isinstance(values, Mapping) else ():
            switches = [one for one in (value if isinstance(value, list | tuple) else [value]) if isinstance(one, bool)]
            types = set(_types(cls.model_fields[key].annotation)) if switches and key in cls.model_fields else set()
            if types & {int, float} and bool not in types:
                raise ValueError(f"{key} is {str(switches[0]).lower()}, but must be a number")
        return values

    def also_read(self, stage: str) -> tuple[str, ...]:
        """Fields of references that a stage reads beside those that are its own."""
        return ()

    def inputs_of(self, field: str) -> Mapping[str, str] | None:
        """What a reference reads of the part that it names, as in `Reference.reads`."""
        return self.references[field].reads

    def referenced(self) -> Iterator[tuple[str, str, str]]:
        """(field, section, name) of every part that this one names."""
        for field, reference in self.references.items():
            value = getattr(self, field)
            names = [value] if isinstance(value, str) else value or []
            yield from ((field, reference.section, name) for name in names if field != "data" or name not in OWN)

    def settings(self) -> dict[str, Any]:
        """Settings of the stage: every key except references, which it gets as files."""
        return self.model_dump(mode="json", exclude={*self.references, "where"})

    def complaint(self) -> str | None:
        """Why a job of this part would not do what the part says. A part that extends a shortened one, and is not run, may."""
        return None

    def check(self, parts: Mapping[str, Mapping[str, "Part"]]) -> None:
        """Raise ValueError if this part does not fit the parts it names."""


class RunPart(Part):
    """An entry that recipes run on data sets."""

    where: dict[str, dict[str, Any]] = {}
    """Keys for some data sets: the name of a data set, of one that it extends, or of its family -> keys."""

    def modules(self) -> list[str]:
        """Modules of the package that this part's own jobs run because of its kinds."""
        return []

    def read_modules(self) -> list[str]:
        """Modules that jobs of other parts run to read this part's outputs."""
        return []

    def work(self) -> dict[str, Any]:
        """Work of the part's jobs, for a cost estimate."""
        return {}

    def needs_subset(self) -> bool:
        """Whether the part's own jobs need more of a data set than its classes. If not, the data sets of a source share its artifacts."""
        return True

    def check_on(self, dataset: Any, parts: Mapping[str, Mapping[str, Part]]) -> None:
        """Raise ValueError if this part does not fit a data set that a recipe runs it on, as far as known in advance."""


def _types(annotation: Any) -> Iterator[Any]:
    """The annotation, and all types inside it."""
    yield annotation
    for inner in get_args(annotation):
        yield from _types(inner)


def by_kind(value: Any) -> Any:
    """`flip` is short for {kind: flip}."""
    return {"kind": value} if isinstance(value, str) else value


def on_disk(path: str) -> str:
    """A path that the config names, as this process must spell it: `~` is the user's home, and names on disk are UTF-8."""
    here = os.fsdecode(path.encode())
    with suppress(RuntimeError):  # there is no such user, so it is a name like any other
        return str(Path(here).expanduser()) if here.startswith("~") else here
    return here


def is_file(path: Path) -> bool:
    """Whether there is such a file; a name that is too long for the disk is none."""
    try:
        return path.is_file()
    except OSError:
        return False
