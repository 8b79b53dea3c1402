"""Draw a long-tailed subset and store its pictures as shards with a manifest.

    python -m pipeline.stages.subset --config '{"source": "digits", "imbalance_factor": 40}' \\
        --data-root data --output results/demo/subset

writes OUTPUT/manifest.parquet, one row a picture (key, class, class_name, split, source, and its place in a shard), and
OUTPUT/real/{train,test,rest}.tar. `rest` is what the long tail leaves out of the training split; the test split is whole.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from pipeline import command, kinds, shards
from pipeline.data.long_tail import exponential_counts, select
from pipeline.progress import progress


def main(args) -> None:
    config = args.config
    raw = kinds.load("data", config["source"]).read(args.data_root)
    classes = len(raw.class_names)
    largest = config.get("largest_class") or int(np.bincount(raw.train_labels).max())
    counts = exponential_counts(largest, classes, config["imbalance_factor"])
    kept = select(raw.train_labels, counts, config.get("selection_seed", 0))
    rest = np.setdiff1d(np.arange(len(raw.train_labels)), kept)
    splits = {
        "train": (raw.train_pictures, raw.train_labels, kept, "train"),
        "test": (raw.test_pictures, raw.test_labels, np.arange(len(raw.test_labels)), "test"),
        "rest": (raw.train_pictures, raw.train_labels, rest, "train"),
    }

    def records(split):
        pictures, labels, positions, origin = splits[split]
        for position in progress(positions, f"storing {split} pictures", len(positions), unit="picture"):
            label = int(labels[position])
            provenance = {
                "class": label,
                "class_name": raw.class_names[label],
                "split": split,
                "source": f"{config['source']}/{origin}/{position}",
            }
            yield f"{origin}-{position:06d}", shards.encode(pictures[position]), "png", provenance

    indices = []
    for split in splits:
        index = shards.write(args.output / "real" / f"{split}.tar", records(split))
        indices.append(index.assign(shard="real/" + index["shard"]) if len(index) else index)
    shards.write_table(pd.concat(indices, ignore_index=True), args.output / "manifest.parquet")
    print(f"{len(kept)} training pictures in {classes} classes, {counts.max()} to {counts.min()}; "
          f"{len(raw.test_labels)} test pictures, {len(rest)} left out")  # fmt: skip


def arguments():
    parser = command.parser(__doc__)
    parser.add_argument("--data-root", type=Path, required=True, help="folder of the raw data sets")
    parser.add_argument("--output", type=Path, required=True, help="folder to write")
    return parser


if __name__ == "__main__":
    command.run(main, arguments())
