"""A model that the stage `fetch` has downloaded from a hub."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.foundations.table import folder_of
from pipeline.jobs.inputs import Inputs, only


def make(settings: Mapping[str, Any], inputs: Inputs, folder: Path) -> tuple[Path, dict[str, Any]]:
    """The folder of the model, which the stage `fetch` has filled."""
    return folder_of(only(inputs, "fetched")), {}
