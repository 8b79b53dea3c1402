"""The stage of the prompts, on a small subset."""

import json
import sys

import numpy as np
import pytest

from pipeline.artifacts import pictures, shards
from pipeline.jobs import command

NAMES = ["aquarium_fish", "owl", "wren"]
COUNTS = (5, 2, 1)


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs a stage on a subset with 5, 2 and 1 training pictures of three classes; returns the table that it writes."""
    subset(tmp_path)

    def ran(stage, config, *further):
        output = tmp_path / f"{stage.__name__.split('.')[-1]}.parquet"
        places = ["--manifest", tmp_path / "manifest.parquet", "--output", output, *further]
        monkeypatch.setattr(sys, "argv", ["stage", "--config", json.dumps(config), *map(str, places)])
        command.run(stage.main, stage.arguments())
        return shards.read_table(output)

    return ran


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
