"""Exceptions that end a stage on purpose, and their texts."""

import json
import os
import shlex
from collections.abc import Iterable, Mapping
from typing import Any

OPTIONS = "COUNTERWEIGHT_OPTIONS"
"""Environment variable with the config files and keys that a run was given on its command line, as options of snakemake."""


class InputError(ValueError):
    """Bad input. Its text is one sentence: what is wrong, where, and what is allowed."""


class Superseded(Exception):
    """Another attempt at the same job has begun; this one must not write."""


def options_again(configfiles: Iterable[str], config: Mapping[str, Any]) -> str:
    """Config files and keys as options of snakemake; the latter come from `--config key=value`."""
    files = [str(file) for file in configfiles]
    keys = [f"{key}={value if isinstance(value, str) else json.dumps(value)}" for key, value in config.items()]
    return shlex.join([*(["--configfile", *files] if files else []), *(["--config", *keys] if keys else [])])


def as_started(text: str) -> str:
    """A text with the options of this run in the commands that it names."""
    if not (options := os.getenv(OPTIONS)):
        return text
    text = text.replace("snakemake --profile local", f"snakemake --profile local {options}")
    for command in ("make repair", "make accept"):
        text = text.replace(command, f"{command} OPTIONS={shlex.quote(options)}")
    return text
