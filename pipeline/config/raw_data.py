"""Folder of a data set's raw pictures, and a report of missing ones."""

import os
from pathlib import Path

from pipeline import kinds
from pipeline.config.parts import on_disk
from pipeline.config.workflow import Workflow


def raw_folder(flow: Workflow, dataset: str) -> str:
    """The data set's folder below the data root: the config's `data_root`, COUNTERWEIGHT_DATA, or `data`."""
    entry = flow.part("datasets", dataset)
    root = on_disk(flow.site.data_root or "") or os.getenv("COUNTERWEIGHT_DATA") or "data"
    return str(Path(root) / on_disk(entry.path or kinds.load("data", entry.source).LOCATION.folder))


def missing_raw_data(flow: Workflow, dataset: str) -> str | None:
    """One sentence about raw pictures that are missing, or None."""
    entry = flow.part("datasets", dataset)
    location = kinds.load("data", entry.source).LOCATION
    if table := getattr(entry, "table", None):
        location = location._replace(needs=(*location.needs, on_disk(table)))
    complaint = location.complain(Path(raw_folder(flow, dataset)))
    return complaint and f"{dataset}: {complaint}"
