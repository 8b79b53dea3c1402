"""Prompts from sentences with the name of the class in them."""

import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.errors import InputError
from pipeline.prompts import Job


def texts(settings: Mapping[str, Any], job: Job) -> Iterator[tuple[str, str, str]]:
    """(class name, prompt, origin) of every class and sentence of `templates`."""
    for name in job.names:
        for template in settings["templates"]:
            yield name, template.format(**{"class": readable(name)}), template


def readable(name: str) -> str:
    """A class name as people write it: `aquarium_fish` is two words. Raises InputError if no tokenizer would see it."""
    words = " ".join(name.replace("_", " ").split())
    if not is_visible(words):
        raise InputError(
            f"the class name {name!r} has nothing that a model can read; rename the class, or give a prompt file"
        )
    return words


def is_visible(text: str) -> bool:
    """Whether a text has more than blanks, control characters and invisible ones, for which tokenizers have no tokens."""
    return any(unicodedata.category(letter)[0] not in "CZ" for letter in text)
