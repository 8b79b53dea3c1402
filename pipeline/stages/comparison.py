"""Draw a comparison: a picture of each cell's pool, by the keys that vary.

    python -m pipeline.stages.comparison --config '{"classes": ["chameleon"], "pictures": 1,
        "rows": ["draw.feedback.scale 0", "draw.feedback.scale 0.03"], "columns": ["draw.guidance_scale 1", "draw.guidance_scale 5"]}' \\
        --manifest results/imagenet_lt/subset/manifest.parquet \\
        --indices results/imagenet_lt/sample/<cell>/shard-00000.parquet ... --output results/imagenet_lt/comparison/ldm_fg_11.png

The indices are those of the cells, row by row. Where pictures were drawn from real ones, these stand above them, once if the next
row has the same.
"""

from pathlib import Path

from pipeline.artifacts import shards
from pipeline.artifacts.atomic import replacing
from pipeline.errors import InputError
from pipeline.jobs import command
from pipeline.reporting.grid import Row, picture_grid


def main(args) -> None:
    rows, columns = args.config["rows"], args.config["columns"] or [""]
    cells = [shards.read_table(path, [*shards.PICTURE, "class_name"], ["source"]) for path in args.indices]
    folders = [path.parent for path in args.indices]
    side = shards.read_pictures(cells[0][:1], folders[0]).shape[1]
    real = shards.read_table(args.manifest, shards.PICTURE).set_index("key", drop=False)
    found = []
    for name in args.config["classes"]:
        shown = None
        for number, label in enumerate(rows):
            here = range(number * len(columns), (number + 1) * len(columns))
            drawn = [cells[cell][cells[cell]["class_name"] == name] for cell in here]
            if not all(map(len, drawn)):
                raise InputError(f"{args.indices[here[0]]} has no picture of the class '{name}'; make it again")
            sources = [tuple(one["source"]) for one in drawn] if "source" in cells[0] else shown
            if sources != shown:
                blocks = (shards.read_pictures(real.loc[list(keys)], args.manifest.parent, side) for keys in sources)
                found.append(Row(f"{name}, real", tuple(blocks)))
                shown = sources
            blocks = (shards.read_pictures(one, folders[cell], side) for cell, one in zip(here, drawn, strict=True))
            found.append(Row(f"{name}, {label}", tuple(blocks)))
    with replacing(args.output) as part:
        picture_grid(found, tuple(columns), args.config["pictures"], max(32, side), args.title).save(part, "png")


def arguments():
    parser = command.parser(__doc__)
    parser.add_argument("--manifest", type=Path, required=True, help="the subset's manifest.parquet")
    parser.add_argument("--indices", type=Path, nargs="+", required=True, help="the cells' shard indices, .parquet")
    parser.add_argument("--title", default="comparison", help="title of the picture")
    parser.add_argument("--output", type=Path, required=True, help="the picture to write, .png")
    return parser


if __name__ == "__main__":
    command.run(main, arguments())
