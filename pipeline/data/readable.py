"""Class names as people write them."""

import unicodedata

from pipeline.errors import InputError


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
