"""List the classes of a source, for pools and prompts that all its subsets share.

    python -m pipeline.stages.classes --config '{"source": "digits"}' --raw data --output results/digits/classes.parquet

writes a row for each class, in the order of the labels: class, class_name.
"""

from pathlib import Path

import numpy as np

from pipeline import kinds
from pipeline.artifacts import shards
from pipeline.jobs import command

ANY_SUBSET = {"rest": False, "selection_seed": 0}
"""Keys of a data set that a source's listing reads, and that make no difference to its classes."""


def main(args) -> None:
    source = kinds.load("data", args.config["source"]).open_source(args.raw, args.config | ANY_SUBSET)
    found = source.pictures().drop_duplicates("class").sort_values("class", ignore_index=True)
    # no gaps, as in the subsets
    classes = found[["class_name"]].rename_axis("class").reset_index().astype({"class": np.int64})
    shards.write_table(classes, args.output)
    print(f"{len(classes)} classes")


def arguments():
    parser = command.parser(__doc__)
    parser.add_argument("--raw", type=Path, required=True, help="folder of the raw data set")
    parser.add_argument("--output", type=Path, required=True, help="the table to write, .parquet")
    return parser


if __name__ == "__main__":
    command.run(main, arguments())
