"""Choose raw pictures for each split: training, validation, test, and rest.

    python -m pipeline.stages.subset --config '{"source": "digits", "imbalance_factor": 40, "largest_class": null,
        "selection_seed": 0, "rest": true}' \\
        --raw data --output results/demo/subset/pictures.parquet

writes one row per picture, in the order of storage: key, class, class_name, split, source (its place in the raw data) and, if there are
groups, group. The test split is never touched; `rest` has the training pictures that a long tail leaves out.
"""

from pathlib import Path

from pipeline import kinds
from pipeline.artifacts import shards
from pipeline.data.subset import subset
from pipeline.errors import InputError
from pipeline.jobs import command


def main(args) -> None:
    source = kinds.load("data", args.config["source"]).open_source(args.raw, args.config)
    found = source.pictures()
    try:
        pictures = subset(found, args.config)
    except InputError as error:
        raise InputError(f"{args.raw}: {error}") from None
    shards.write_table(pictures, args.output)
    counts = pictures.loc[pictures["split"] == "train", "class"].value_counts()
    splits = pictures["split"].value_counts()
    print(
        f"{splits['train']} training pictures in {pictures['class'].nunique()} classes, {counts.max()} to {counts.min()}; "
        + ", ".join(f"{count} {split}" for split, count in splits.items() if split != "train")
    )


def arguments():
    parser = command.parser(__doc__)
    parser.add_argument("--raw", type=Path, required=True, help="folder of the raw data set")
    parser.add_argument("--output", type=Path, required=True, help="the table to write, .parquet")
    return parser


if __name__ == "__main__":
    command.run(main, arguments())
