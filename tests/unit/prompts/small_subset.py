"""A small subset on disk, for tests of prompts."""

import numpy as np

from pipeline.artifacts import pictures, shards

NAMES = ["aquarium_fish", "owl", "wren"]
COUNTS = (5, 2, 1)


def subset(folder, names=NAMES, counts=COUNTS):
    """Write a manifest with pictures of different sizes, and a test picture of each class."""
    random = np.random.default_rng(0)
    rows = [(label, "train", place) for label, count in enumerate(counts) for place in range(count)]
    rows += [(label, "test", 0) for label in range(len(counts))]

    def records():
        for label, split, place in rows:
            shape = (12 + 4 * (label + place % 2), 16, 3)
            picture = pictures.encode(random.integers(0, 256, shape, np.uint8), "png", 95)
            about = {"class": label, "class_name": names[label], "split": split}
            yield f"{split}-{label}-{place}", picture, "png", about

    shards.write_table(shards.write(folder / "shard-00000.tar", records()), folder / "manifest.parquet")
