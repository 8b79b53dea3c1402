"""The stage of the prompts, on a small subset."""

import json
import sys

import pytest
from small_subset import subset

from pipeline.artifacts import shards
from pipeline.jobs import command


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
