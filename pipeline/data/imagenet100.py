"""imagenet100: Fill-Up's ImageNet100-LT, 100 classes of ImageNet-1K with 1,000 to 5 training pictures, 19,051 in all."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.data import imagenet_pareto

LOCATION = imagenet_pareto.LOCATION


def open_source(folder: Path, settings: Mapping[str, Any]):
    """The authors' classes and counts. Their choice of pictures is not published, so the pictures are drawn."""
    from pipeline.data.raw import FileSource

    return FileSource(folder, lambda skipped: _drawn(folder, settings["selection_seed"], skipped))


def _drawn(folder: Path, seed: int, skipped: Any):
    from pipeline.data.imagenet100_classes import COUNTS
    from pipeline.data.imagenet_folders import draw

    LOCATION.require(folder)
    return draw(folder, COUNTS, seed, skipped)
