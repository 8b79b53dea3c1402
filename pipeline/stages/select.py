"""Decide which pictures of a pool are used.

    python -m pipeline.stages.select --config '{"keep": [["d3", ">=", 5e-7]], "first": null}' \\
        --indices results/demo/sample/demo/shard-00000.parquet ... --scores results/demo/score/demo/shard-00000.parquet ... \\
        --output results/demo/select/demo/selected.parquet

writes the kept rows of the pool's indices, with the scores, and OUTPUT's sibling summary.json: pictures made and kept for each
class. A class left with nothing is named in a warning.
"""

import json
import operator
import os
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline import command, shards
from pipeline.atomic import replacing

COMPARE = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt}


def main(args) -> None:
    pool = pd.concat([_located(path, args.output.parent) for path in args.indices], ignore_index=True)
    if args.scores:
        scores = pd.concat([shards.read_table(path) for path in args.scores], ignore_index=True)
        pool = pool.merge(scores.drop(columns=["class", "class_name"]), on="key", validate="one_to_one")
    kept = np.full(len(pool), True)
    for metric, comparison, threshold in args.config["keep"]:
        kept &= COMPARE[comparison](pool[metric].to_numpy(), threshold)
    selected = pool[kept]
    if args.config["first"]:
        selected = selected[selected.groupby("class").cumcount() < args.config["first"]]

    # by number and name: two of ImageNet's classes are both called "missile"
    classes = pool.groupby(["class", "class_name"]).size().rename("made").to_frame()
    classes["kept"] = selected.groupby(["class", "class_name"]).size().reindex(classes.index, fill_value=0)
    empty = list(classes.index[classes["kept"] == 0].get_level_values("class_name"))
    if empty:
        print(f"warning: nothing is left after selection of: {', '.join(empty)}", file=sys.stderr)
    summary = {
        "made": len(pool),
        "kept": len(selected),
        "empty_classes": empty,
        "classes": classes.reset_index().to_dict("records"),
    }
    counted = args.output.with_name("summary.json")
    with replacing(counted) as part:
        part.write_text(json.dumps(summary, indent=1))
    shards.write_table(selected, args.output, beside=[counted])
    print(f"{len(selected)} of {len(pool)} generated pictures kept")


def _located(path: Path, start: Path) -> pd.DataFrame:
    """A shard's index, whose places are relative to `start`."""
    index = shards.read_table(path)
    return index.assign(shard=[os.path.relpath(path.parent / name, start) for name in index["shard"]])


def arguments():
    parser = command.parser(__doc__)
    parser.add_argument("--indices", type=Path, nargs="+", required=True, help="the pool's shard indices, .parquet")
    parser.add_argument("--scores", type=Path, nargs="*", default=[], help="their scores, .parquet")
    parser.add_argument("--output", type=Path, required=True, help="the decisions to write, .parquet")
    return parser


if __name__ == "__main__":
    command.run(main, arguments())
