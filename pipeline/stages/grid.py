"""Draw a grid of a pool's pictures: real beside generated ones, one row per class, spread over its groups and shards.

    python -m pipeline.stages.grid --manifest results/demo/subset/manifest.parquet \\
        --indices results/demo/sample/demo/shard-00000.parquet ... --output results/demo/grid/demo.png
"""

from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.artifacts import shards
from pipeline.artifacts.atomic import replacing
from pipeline.jobs import command
from pipeline.reporting.grid import Row, picture_grid
from pipeline.reporting.spread import spread

COLUMNS = 8
MOST_CLASSES = 50


def main(args) -> None:
    manifest = shards.read_table(args.manifest, needs=shards.REAL)
    train = manifest[manifest["split"] == "train"]
    classes = manifest.drop_duplicates("class").sort_values("class")[["class", "class_name"]]
    shown = classes.iloc[np.unique(np.linspace(0, len(classes) - 1, MOST_CLASSES).round().astype(int))]
    counts = train["class"].value_counts()
    total, places = 0, []
    # twice, because a pool may have millions of pictures: first the classes alone, then all of the few that are shown
    for number, path in enumerate(args.indices):
        index = shards.read_asked(path, ["class"], shards.OPTIONAL)
        total += len(index)
        places.append(index[index["class"].isin(shown["class"])].assign(number=number))
    chosen = pd.concat([spread(rows, COLUMNS) for _, rows in pd.concat(places).groupby("class")] or places)
    pool = pd.concat(
        shards.read_asked(args.indices[number], shards.PICTURE).loc[chosen.index[chosen["number"] == number]]
        for number in sorted({0, *chosen["number"]})
    )
    folder = args.indices[0].parent
    side = shards.read_pictures(pool[:1], folder).shape[1] if len(pool) else 64
    rows = []
    for label, name in shown.itertuples(index=False):
        real = shards.read_pictures(spread(train[train["class"] == label], COLUMNS), args.manifest.parent, side)
        generated = shards.read_pictures(pool[pool["class"] == label], folder)
        rows.append(Row(f"{name} ({counts.get(label, 0)})", (real, generated)))
    some = f" ({len(shown)} of {len(classes)} shown)" if len(shown) < len(classes) else ""
    title = f"{args.title}: {len(train)} real and {total} generated pictures of {len(classes)} classes{some}"
    with replacing(args.output) as part:
        picture_grid(rows, ("real", "generated"), COLUMNS, max(32, side), title).save(part, "png")


def arguments():
    parser = command.parser(__doc__, config=False)
    parser.add_argument("--manifest", type=Path, required=True, help="the subset's manifest.parquet")
    parser.add_argument("--indices", type=Path, nargs="+", required=True, help="the pool's shard indices, .parquet")
    parser.add_argument("--title", default="pool", help="title of the grid")
    parser.add_argument("--output", type=Path, required=True, help="the picture to write, .png")
    return parser


if __name__ == "__main__":
    command.run(main, arguments())
