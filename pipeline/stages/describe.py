"""Describe a subset: its classes and counts, a plot of the long tail, and a sheet of pictures.

    python -m pipeline.stages.describe --title cifar100_lt --manifest results/cifar100_lt/subset/manifest.parquet \\
        --pictures results/cifar100_lt/subset/pictures.parquet --output results/cifar100_lt/describe

writes OUTPUT/summary.md (with what was skipped in the raw data), OUTPUT/classes.csv (pictures of each class in each split, and the
brightest level of those that are shown), OUTPUT/groups.csv (the same for each group, empty
without groups), OUTPUT/long_tail.png and OUTPUT/pictures.png.
"""

from pathlib import Path

from pipeline.jobs import command

COLUMNS, MOST_CLASSES, SIDE = 12, 40, 64


def main(args) -> None:
    import numpy as np

    from pipeline.artifacts import made, shards
    from pipeline.artifacts.atomic import replacing
    from pipeline.reporting.describe import describe, long_tail_plot
    from pipeline.reporting.grid import Row, picture_grid
    from pipeline.reporting.spread import spread

    manifest = shards.read_table(args.manifest, needs=(*shards.REAL, "source", "digest"))
    classes = manifest.drop_duplicates("class").sort_values("class")
    shown = classes.iloc[np.unique(np.linspace(0, len(classes) - 1, MOST_CLASSES).round().astype(int))]
    train = manifest[manifest["split"] == "train"]
    rows, brightest = [], {}
    for label, name in zip(shown["class"], shown["class_name"], strict=True):
        of_class = train[train["class"] == label]
        pictures = shards.read_pictures(spread(of_class, COLUMNS), args.manifest.parent, SIDE)
        rows.append(Row(f"{name} ({len(of_class)})", (pictures,)))
        if len(pictures):
            brightest[int(label)] = int(pictures.max())
    skipped = made.about(args.pictures).get("skipped", ())
    described = describe(manifest, args.title, brightest, skipped)
    for name, table in (("classes", described.classes), ("groups", described.groups)):
        with replacing(args.output / f"{name}.csv") as part:
            table.to_csv(part, index=False)
    with replacing(args.output / "long_tail.png") as part:
        long_tail_plot(described.classes, args.title).savefig(part, format="png")
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
    parser.add_argument(
        "--pictures", type=Path, required=True, help="the subset's pictures.parquet, which says what was skipped"
    )
    parser.add_argument("--title", default="subset", help="title of the subset")
    parser.add_argument("--output", type=Path, required=True, help="folder to write")
    return parser


if __name__ == "__main__":
    command.run(main, arguments())
