"""Folder of a data set's raw pictures, and reports of missing and of changed ones."""

import os
import shlex
from collections.abc import Iterable
from pathlib import Path

from pipeline import kinds
from pipeline.artifacts import made
from pipeline.config.artifacts import locate
from pipeline.config.parts import on_disk
from pipeline.config.workflow import Workflow
from pipeline.data import folders
from pipeline.errors import InputError


def raw_folder(flow: Workflow, dataset: str) -> str:
    """The data set's folder below the data root: the config's `data_root`, COUNTERWEIGHT_DATA, or `data`."""
    entry = flow.part("datasets", dataset)
    root = on_disk(flow.site.data_root or "") or Path(os.getenv("COUNTERWEIGHT_DATA") or "data").expanduser()
    return str(Path(root) / on_disk(entry.path or kinds.load("data", entry.source).LOCATION.folder))


def missing_raw_data(flow: Workflow, dataset: str) -> str | None:
    """One sentence about raw pictures that are missing, or None."""
    entry = flow.part("datasets", dataset)
    location = kinds.load("data", entry.source).LOCATION
    if table := getattr(entry, "table", None):
        location = location._replace(needs=(*location.needs, on_disk(table)))
    complaint = location.complain(Path(raw_folder(flow, dataset)))
    return complaint and f"{dataset}: {complaint}"


def lacking(flow: Workflow, dataset: str, places: Iterable[tuple[str, str]]) -> list[str]:
    """One sentence for each part, of (section, name), that needs a validation split, or groups, if the user's own pictures have none."""
    entry, parts = flow.part("datasets", dataset), flow.on(dataset)
    if entry.known[entry.source].has_validation is not None:  # then the config has said it
        return []

    def complaints(validation: bool, groups: bool) -> list[str]:
        found = []
        for section, name in places:
            try:
                parts[section][name].check_on(entry.found_with(validation, groups), parts)
            except ValueError as error:
                found.append(f"{section}.{name} on {dataset}: {error}")
        return found

    if not complaints(False, False):
        return []
    subset = Path(locate("subset", dataset=dataset))
    if made.about(subset):
        from pipeline.artifacts.shards import read_table

        table = read_table(subset, ["split"], ["group"])
        return complaints("val" in table["split"].values, "group" in table and bool(table["group"].notna().any()))
    try:
        source = kinds.load("data", entry.source)
        return complaints(*source.has_validation_and_groups(Path(raw_folder(flow, dataset)), entry.settings()))
    except InputError as error:  # a folder or a table that the first job could not read either
        return [f"{dataset}: {error}"]


def changed_raw_data(flow: Workflow, dataset: str) -> str | None:
    """One sentence about raw files that have come, gone or changed since the data set's subset was made, or None.

    Names, sizes and times are compared: 0.3 s for 20,000 files, and less for more, of which only the folders are looked at. Where
    the subset was removed and results made from it are there, nothing can be compared, and the sentence says so.
    """
    path = locate("subset", dataset=dataset)
    made_from = locate("manifest", dataset=dataset), locate("predictions", dataset=dataset, name="*", seed="*")
    if not Path(path).exists() and any(any(Path().glob(pattern)) for pattern in made_from):
        return f"{path} is missing, so a change of the raw data of {dataset} would not be noticed; say make repair"
    recorded = made.about(Path(path)).get("raw")
    if not recorded:
        return None
    folder = raw_folder(flow, dataset)
    found = folders.changes(folders.unpacked(recorded), Path(folder))
    return found and (
        f"raw data of {dataset} changed since its subset was made ({found}, in {folder}); to take the change: "
        f"snakemake --profile local -R {shlex.quote(path)} -- all_{flow.family(dataset)}"
    )
