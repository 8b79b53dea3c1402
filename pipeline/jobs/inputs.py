"""The files that a job reads by name: `generator` -> the table of a trained generator, for example."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from pipeline.errors import InputError

Inputs = Mapping[str, Sequence[Path]]


def only(inputs: Inputs, name: str) -> Path:
    """The path of an input that has one. Raises InputError otherwise."""
    paths = inputs.get(name, ())
    if len(paths) != 1:
        raise InputError(
            f"the input '{name}' has {len(paths)} paths, but needs one; give --{name.replace('_', '-')} PATH"
        )
    return paths[0]
