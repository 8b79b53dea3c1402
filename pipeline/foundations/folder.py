"""A model that lies in a local folder already."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.errors import InputError
from pipeline.jobs.inputs import Inputs


def make(settings: Mapping[str, Any], inputs: Inputs) -> Path:
    """The folder of the model. Raises InputError if there is none."""
    folder = Path(settings["path"])
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder; put a model there, or correct the path")
    return folder
