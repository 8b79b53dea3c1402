"""Gather the shards of a subset into its manifest.

    python -m pipeline.stages.manifest --config '{"most_rejected": 0.001}' \\
        --indices results/demo/subset/real/shard-00000.parquet ... \\
        --rejected results/demo/subset/real/shard-00000.rejected.parquet ... --output results/demo/subset/manifest.parquet

writes the manifest, one row per picture (key, class, class_name, split, source, group if there are groups, and its place in a shard),
and beside it rejected.parquet (unreadable pictures) and duplicates.parquet (test pictures that are also training pictures). The log
says how many pictures have the bytes of one of another class.
"""

from pathlib import Path

import pandas as pd

from pipeline.artifacts import shards
from pipeline.data.manifest import duplicates, gather, in_two_classes, require_levels
from pipeline.jobs import command


def main(args) -> None:
    indices = [shards.read_table(path, needs=(*shards.REAL, "source", "digest")) for path in args.indices]
    rejected = pd.concat([shards.read_table(path) for path in args.rejected], ignore_index=True)
    manifest = gather(indices, rejected, args.config["most_rejected"], str(args.output.parent))
    require_levels(manifest, args.config.get("levels"))
    twice, contradicting = duplicates(manifest), in_two_classes(manifest)
    shards.write_table(rejected, args.output.with_name("rejected.parquet"))
    shards.write_table(twice, args.output.with_name("duplicates.parquet"))
    shards.write_table(manifest, args.output)
    print(f"{len(manifest)} pictures; {len(rejected)} rejected; {len(twice)} test pictures are also training pictures")
    if len(contradicting):
        first = contradicting.head(2)["source"]
        print(f"{len(contradicting)} pictures are in two classes, first {' and '.join(first)}")


def arguments():
    parser = command.parser(__doc__)
    parser.add_argument("--indices", type=Path, nargs="+", required=True, help="the shards' indices, .parquet")
    parser.add_argument("--rejected", type=Path, nargs="+", required=True, help="their lists of rejected pictures")
    parser.add_argument("--output", type=Path, required=True, help="the manifest to write, .parquet")
    return parser


if __name__ == "__main__":
    command.run(main, arguments())
