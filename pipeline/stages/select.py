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
from collections import Counter
from itertools import zip_longest
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline.artifacts import shards
from pipeline.artifacts.atomic import replacing
from pipeline.errors import InputError
from pipeline.jobs import command

COMPARE = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt}


def main(args) -> None:
    if args.scores and len(args.scores) != len(args.indices):
        raise InputError(f"{len(args.scores)} files of scores are given; there must be as many as the indices, or none")
    counted = args.output.with_name("summary.json")
    made, kept, names = Counter(), Counter(), {}

    def selected():
        for index, scores in zip_longest(args.indices, args.scores):
            pool = _pool(index, scores, args.output.parent)
            passing = np.full(len(pool), True)
            for metric, comparison, threshold in args.config["keep"]:
                passing &= COMPARE[comparison](pool[metric].to_numpy(), threshold)
            chosen = pool[passing]
            if args.config["first"]:
                place = chosen.groupby("class").cumcount() + chosen["class"].map(lambda label: kept[label])
                chosen = chosen[place < args.config["first"]]
            # by number, for two of ImageNet's classes are both called "missile"
            made.update(pool["class"].tolist())
            kept.update(chosen["class"].tolist())
            names.update(zip(pool["class"].tolist(), pool["class_name"].tolist(), strict=True))
            yield chosen
        summarise()  # before the table is closed, which says what the summary must be

    def summarise() -> None:
        empty = [names[label] for label in sorted(made) if not kept[label]]
        if empty:
            print(f"warning: nothing is left after selection of: {', '.join(empty)}", file=sys.stderr)
        summary = {
            "made": made.total(),
            "kept": kept.total(),
            "empty_classes": empty,
            "classes": [
                {"class": label, "class_name": names[label], "made": made[label], "kept": kept[label]}
                for label in sorted(made)
            ],
        }
        with replacing(counted) as part:
            part.write_text(json.dumps(summary, indent=1))

    shards.write_blocks(selected(), args.output, beside=[counted])
    print(f"{kept.total()} of {made.total()} generated pictures kept")


def _pool(index: Path, scores: Path | None, start: Path) -> pd.DataFrame:
    """A shard's index, whose places are made relative to `start`, with its scores if there are any."""
    pool = shards.read_table(index)
    folder = os.path.relpath(index.parent.resolve(), start.resolve())  # `..` of a linked folder is not what it looks
    places = {name: os.path.normpath(f"{folder}/{name}") for name in pool["shard"].unique()}
    pool["shard"] = pool["shard"].map(places)
    if scores is None:
        return pool
    scored = shards.read_table(scores).drop(columns=["class", "class_name"])
    if pool["key"].tolist() != scored["key"].tolist():
        raise InputError(
            f"{scores} holds no scores of the pictures in {index}; give them in the same order as the indices"
        )
    return pool.assign(**scored.drop(columns="key"))


def arguments():
    parser = command.parser(__doc__)
    parser.add_argument("--indices", type=Path, nargs="+", required=True, help="the pool's shard indices, .parquet")
    parser.add_argument("--scores", type=Path, nargs="*", default=[], help="their scores, .parquet")
    parser.add_argument("--output", type=Path, required=True, help="the decisions to write, .parquet")
    return parser


if __name__ == "__main__":
    command.run(main, arguments())
