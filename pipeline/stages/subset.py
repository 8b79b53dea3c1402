"""Choose raw pictures for each split: training, validation, test, and rest.

    python -m pipeline.stages.subset --config '{"source": "digits", "imbalance_factor": 40, "largest_class": null,
        "selection_seed": 0, "rest": true}' \\
        --raw data --output results/demo/subset/pictures.parquet

writes one row per picture, in the order of storage: key, class, class_name, split, source (its place in the raw data) and, if there are
groups, group, and the context of the class that it may be. The test split is never touched; `rest` has the training pictures that a
long tail leaves out. Its metadata say what was skipped, and what sizes and times the raw files had.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from pipeline import kinds
from pipeline.artifacts import shards
from pipeline.data import folders
from pipeline.data.raw import Source
from pipeline.data.subset import left_out, subset
from pipeline.errors import InputError
from pipeline.jobs import command


def main(args) -> None:
    module = kinds.load("data", args.config["source"])
    source = module.open_source(args.raw, args.config)
    found = source.pictures()
    try:
        pictures = subset(found, args.config)
    except InputError as error:
        raise InputError(f"{args.raw}: {error}") from None
    about = {"skipped": _skipped(source, found, args.config)}
    if module.LOCATION.needs:
        about["raw"] = folders.packed(folders.signature(args.raw))
    shards.write_table(pictures, args.output, about=about)
    for kind, number, which in about["skipped"]:
        print(f"skipped: {number} {kind}: {which}")
    untested = set(pictures["class_name"]) - set(pictures.loc[pictures["split"] == "test", "class_name"])
    if untested:
        print(
            f"{len(untested)} classes have no test picture, and no accuracy of their own: {', '.join(sorted(untested))}"
        )
    counts = pictures.loc[pictures["split"] == "train", "class"].value_counts()
    splits = pictures["split"].value_counts()
    print(
        f"{splits['train']} training pictures in {pictures['class'].nunique()} classes, {counts.max()} to {counts.min()}; "
        + ", ".join(f"{count} {split}" for split, count in splits.items() if split != "train")
    )


def _skipped(source: Source, found: pd.DataFrame, settings: Mapping[str, Any]) -> list[tuple[str, int, str]]:
    """(kind, number, which) of the files that the listing skipped, and of the classes that `smallest_class` leaves out."""
    names = left_out(found, settings)
    small = [("classes with fewer pictures than smallest_class", len(names), ", ".join(names))] if names else []
    return [*source.skipped(), *small]


def arguments():
    parser = command.parser(__doc__)
    parser.add_argument("--raw", type=Path, required=True, help="folder of the raw data set")
    parser.add_argument("--output", type=Path, required=True, help="the table to write, .parquet")
    return parser


if __name__ == "__main__":
    command.run(main, arguments())
