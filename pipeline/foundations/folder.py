"""A model that lies in a local folder already."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.errors import InputError
from pipeline.jobs.inputs import Inputs


def make(settings: Mapping[str, Any], inputs: Inputs, output: Path) -> Path:
    """The folder of the model; `output`, for the files of kinds that make some, stays empty."""
    folder = Path(settings["path"])
    if not (folder / "model_index.json").is_file():
        raise InputError(f"{folder} has no model_index.json; put a model in diffusers' format there")
    return folder
