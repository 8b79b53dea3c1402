"""The real pictures that rows of a plan start from."""

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from pipeline.artifacts import shards


class SourcePictures:
    """The stored pictures of a subset, by their keys. manifest: the subset's table of them."""

    def __init__(self, manifest: Path):
        self._folder = manifest.parent
        self._table = shards.read_table(manifest, shards.PICTURE).set_index("key", drop=False)

    def squares(self, keys: pd.Series, side: int) -> np.ndarray:
        """The middles of the pictures, scaled to `side` pixels: uint8 [N, side, side, 3]."""
        return shards.read_pictures(self._table.loc[keys], self._folder, side)

    def images(self, keys: pd.Series) -> list[Image.Image]:
        """The pictures as they are stored, RGB."""
        return [Image.fromarray(shards.read_pictures(self._table.loc[[key]], self._folder)[0]) for key in keys]
