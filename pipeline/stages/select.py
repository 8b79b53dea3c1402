"""Select pictures of a pool.

    python -m pipeline.stages.select --config '{"keep": [["d3", ">=", 5e-7]], "first": null}' \\
        --indices results/demo/sample/demo/shard-00000.parquet ... --scores results/demo/score/demo/shard-00000.parquet ... \\
        --output results/demo/select/demo/selected.parquet

writes the kept rows of the pool's indices, with the scores, and beside OUTPUT summary.json: numbers of generated and kept pictures of
each class. A warning names classes with no picture kept.
"""

import json
import os
import sys
from itertools import zip_longest
from pathlib import Path

import pandas as pd

from pipeline.artifacts import shards
from pipeline.artifacts.atomic import replacing
from pipeline.errors import InputError
from pipeline.jobs import command
from pipeline.scores.selection import Selection


def main(args) -> None:
    if args.scores and len(args.scores) != len(args.indices):
        raise InputError(f"{len(args.scores)} files of scores are given; give as many as the indices, or none")
    counted = args.output.with_name("summary.json")
    selection = Selection(args.config)

    def selected():
        for index, scores in zip_longest(args.indices, args.scores):
            yield selection.of(_pool(index, scores, args.output.parent))
        summary = selection.summary()
        with replacing(counted) as part:  # before the table is closed, because it has the summary's digest
            part.write_text(json.dumps(summary, indent=1), encoding="utf-8")
        if empty := summary["empty_classes"]:
            print(f"warning: no picture was kept of the classes: {', '.join(empty)}", file=sys.stderr)

    shards.write_blocks(selected(), args.output, beside=[counted])
    print(f"{selection.kept.total()} of {selection.generated.total()} generated pictures kept")


def _pool(index: Path, scores: Path | None, start: Path) -> pd.DataFrame:
    """A shard's index with places relative to `start`, and with its scores if there are any."""
    pool = shards.read_table(index)
    # resolved, because `..` of a linked folder is another folder
    folder = os.path.relpath(index.parent.resolve(), start.resolve())
    places = {name: os.path.normpath(f"{folder}/{name}") for name in pool["shard"].unique()}
    pool["shard"] = pool["shard"].map(places)
    if scores is None:
        return pool
    scored = shards.read_table(scores).drop(columns=["class", "class_name"])
    if pool["key"].tolist() != scored["key"].tolist():
        raise InputError(f"{scores} does not have the scores of {index}; give scores in the same order as the indices")
    return pool.assign(**scored.drop(columns="key"))


def arguments():
    parser = command.parser(__doc__)
    parser.add_argument("--indices", type=Path, nargs="+", required=True, help="the pool's shard indices, .parquet")
    parser.add_argument("--scores", type=Path, nargs="*", default=[], help="their scores, .parquet")
    parser.add_argument("--output", type=Path, required=True, help="the selection to write, .parquet")
    return parser


if __name__ == "__main__":
    command.run(main, arguments())
