"""A model that lies in a local folder already."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.errors import InputError
from pipeline.jobs.inputs import Inputs


def make(settings: Mapping[str, Any], inputs: Inputs, folder: Path, checkpoint: Any) -> tuple[Path, dict[str, Any]]:
    """The folder of the model. Raises InputError if there is none."""
    path = Path(settings["path"]).expanduser()
    if not path.is_dir():
        raise InputError(f"{path} is no folder; put a model there, or correct the path")
    return path, {}
