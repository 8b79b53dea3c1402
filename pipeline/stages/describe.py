"""Describe a subset: its classes and counts, a plot of the long tail, and a sheet of pictures.

    python -m pipeline.stages.describe --title cifar100_lt --manifest results/cifar100_lt/subset/manifest.parquet \\
        --output results/cifar100_lt/describe

writes OUTPUT/summary.md, OUTPUT/classes.csv (pictures of each class in each split), OUTPUT/groups.csv (the same for each group, empty
without groups), OUTPUT/long_tail.png and OUTPUT/pictures.png.
"""

from pathlib import Path

from pipeline.jobs import command

COLUMNS, MOST_CLASSES, SIDE = 12, 40, 64


def main(args) -> None:
    import numpy as np

    from pipeline.artifacts import shards
    from pipeline.artifacts.atomic import replacing
    from pipeline.reporting.describe import describe, long_tail_plot
    from pipeline.reporting.grid import Row, picture_grid
    from pipeline.reporting.spread import spread

    manifest = shards.read_table(args.manifest)
    described = describe(manifest, args.title)
    for name, table in (("classes", described.classes), ("groups", described.groups)):
        with replacing(args.output / f"{name}.csv") as part:
            table.to_csv(part, index=False)
    with replacing(args.output / "long_tail.png") as part:
        long_tail_plot(described.classes, args.title).savefig(part, format="png")
    classes = described.classes
    shown = classes.iloc[np.unique(np.linspace(0, len(classes) - 1, MOST_CLASSES).round().astype(int))]
    train = manifest[manifest["split"] == "train"]
    rows = []
    for row in shown.itertuples():
        few = spread(train[train["class"] == row[1]], COLUMNS)
        pictures = shards.read_pictures(few, args.manifest.parent, SIDE)
        rows.append(Row(f"{row.class_name} ({row.train})", (pictures,)))
    with replacing(args.output / "pictures.png") as part:
        picture_grid(
            rows, ("training pictures",), COLUMNS, SIDE, f"{args.title}: {len(shown)} of {len(classes)} classes"
        ).save(part, "png")
    with replacing(args.output / "summary.md") as part:
        part.write_text(described.summary, encoding="utf-8")
    print(described.summary)


def arguments():
    parser = command.parser(__doc__, config=False)
    parser.add_argument("--manifest", type=Path, required=True, help="the subset's manifest.parquet")
    parser.add_argument("--title", default="subset", help="title of the subset")
    parser.add_argument("--output", type=Path, required=True, help="folder to write")
    return parser


if __name__ == "__main__":
    command.run(main, arguments())
