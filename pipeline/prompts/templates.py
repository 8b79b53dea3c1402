"""Prompts from sentences with the name of the class in them."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any


def texts(settings: Mapping[str, Any], names: Sequence[str]) -> Iterator[tuple[str, str, str]]:
    """(class name, prompt, origin) of every class and sentence of `templates`."""
    for name in names:
        for template in settings["templates"]:
            yield name, template.format(**{"class": readable(name)}), template


def readable(name: str) -> str:
    """A class name as people write it: `aquarium_fish` is two words."""
    return " ".join(name.replace("_", " ").split())
