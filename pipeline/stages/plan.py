"""Plan a pool: which pictures to make, each with its seed.

    python -m pipeline.stages.plan --config '{"fill_to": "max", "per_class": null, "fill_range": [0, 1],
        "shots": ["many", "medium", "few"], "seed": 0}' \\
        --manifest results/demo/subset/manifest.parquet --output results/demo/plan/demo/plan.parquet

writes one row a picture: class, class_name, index (within the class), seed.
"""

from pathlib import Path

import numpy as np

from pipeline import command, shards
from pipeline.plan import plan


def main(args) -> None:
    manifest = shards.read_table(args.manifest)
    names = manifest.drop_duplicates("class").sort_values("class")["class_name"].to_numpy()
    counts = np.bincount(manifest.loc[manifest["split"] == "train", "class"], minlength=len(names))
    rows = plan(args.config, counts)
    rows.insert(1, "class_name", names[rows["class"]])
    shards.write_table(rows, args.output)
    print(f"{len(rows)} pictures planned for {rows['class'].nunique()} of {len(names)} classes")


def arguments():
    parser = command.parser(__doc__)
    parser.add_argument("--manifest", type=Path, required=True, help="the subset's manifest.parquet")
    parser.add_argument("--output", type=Path, required=True, help="the plan to write, .parquet")
    return parser


if __name__ == "__main__":
    command.run(main, arguments())
