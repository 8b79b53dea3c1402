"""prompts: texts that text-to-image models draw pictures of the classes from."""

import string
from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator

from pipeline.config.parts import RunPart


class Prompts(RunPart):
    """Base of all prompts. The module with the function `texts` is `pipeline.prompts.<kind>`."""

    kind: str

    def modules(self) -> list[str]:
        return [f"prompts.{self.kind}"]

    def needs_subset(self) -> bool:
        return bool(self.where)


class Templates(Prompts):
    """Sentences with the name of the class in them."""

    kind: Literal["templates"] = "templates"
    templates: tuple[Annotated[str, Field(min_length=1)], ...] = Field(default=("A photo of a {class}.",), min_length=1)
    """The sentences; `{class}` is the name of the class, with blanks for _. The default is SAU's."""

    @field_validator("templates")
    @classmethod
    def _have_a_class(cls, templates: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(map(checked_template, templates))


class ClipTemplates(Prompts):
    """The 80 sentences of CLIP's zero-shot classifier of ImageNet (Radford et al. 2021)."""

    kind: Literal["clip_templates"]


class PromptFile(Prompts):
    """Prompts from a table."""

    kind: Literal["file"]
    path: str
    """A .csv file, UTF-8, with the columns `class` (its name) and `text`, and any number of rows for each class."""

    files: ClassVar[tuple[str, ...]] = ("path",)


def checked_template(template: str) -> str:
    """The sentence. Raises ValueError if it is no template for the name of a class."""
    try:
        fields = {field for _, field, _, _ in string.Formatter().parse(template) if field is not None}
    except ValueError as error:
        raise ValueError(f"'{template}' is not a template ({error}); double the braces that are text") from None
    if fields != {"class"}:
        raise ValueError(f"'{template}' must have {{class}} in it, and nothing else in braces")
    return template


PROMPTS: dict[str, type[Prompts]] = {"templates": Templates, "clip_templates": ClipTemplates, "file": PromptFile}
"""Kind -> type of its entries; register new kinds here."""
