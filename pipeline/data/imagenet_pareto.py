"""imagenet_pareto: a long tail of ImageNet-1K by a Pareto law, for users without the lists of ImageNet-LT."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.data.location import Location

LOCATION = Location(
    folder="imagenet",
    needs=("train", "val"),
    how_to_get="unpack ILSVRC2012_img_train.tar from image-net.org as train/ and ILSVRC2012_img_val.tar as val/, both with one "
    "folder for each WordNet id",
)
POWER, LARGEST, SMALLEST = 6, 1280, 5


def open_source(folder: Path, settings: Mapping[str, Any]):
    """Pictures drawn by `pareto_counts` of shuffled classes, at most as many as a class has. This is not ImageNet-LT."""
    from pipeline.data.raw import FileSource

    return FileSource(folder, lambda skipped: _drawn(folder, settings["selection_seed"], skipped))


def pareto_counts(classes: int):
    """Falling counts, int64 [classes]: quantiles of a Pareto law (Lomax) of power 6, scaled to 1,280 and at least 5.

    ImageNet-LT was drawn by a Pareto law of this power between these bounds (Liu et al. 2019). How it was drawn is not
    published.
    """
    import numpy as np

    share = (np.arange(classes) + 0.5) / classes
    quantiles = share ** (-1 / POWER) - 1
    return np.maximum(SMALLEST, (LARGEST * quantiles / quantiles[0]).astype(np.int64))


def _drawn(folder: Path, seed: int, skipped: Any):
    import numpy as np

    from pipeline.data.files import pictures_below
    from pipeline.data.imagenet_classes import CLASSES
    from pipeline.data.imagenet_folders import draw

    LOCATION.require(folder)
    counts = np.random.RandomState(seed).permutation(pareto_counts(len(CLASSES))).tolist()
    wanted = dict(zip(CLASSES, counts, strict=True))
    available = {wnid: len(pictures_below(folder / "train" / wnid)) for wnid in wanted}
    return draw(folder, {wnid: min(n, available[wnid]) for wnid, n in wanted.items()}, seed, skipped)
