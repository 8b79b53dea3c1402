"""Select pictures of a pool.

    python -m pipeline.stages.select --config '{"keep": [["d3", ">=", 5e-7]], "first": null, "fill_to": null, "top_up": null,
        "highest": null, "fill_range": [0, 1], "cells": "class"}' \\
        --manifest results/demo/subset/manifest.parquet \\
        --indices results/demo/sample/demo/shard-00000.parquet ... --scores results/demo/score/demo/shard-00000.parquet ... \\
        --output results/demo/select/demo/selected.parquet

writes the kept rows of the pool's indices, with the scores, and beside OUTPUT summary.json: of each class, or of each group if the
pool's cells are groups, the numbers of pictures generated, asked, survivors of the conditions, kept, taken from the surplus, topped
up, and short of those asked; and, of the whole pool, the numbers of those drawn again because they were broken (redrawn), or flagged
by a safety checker. A warning names classes with no picture kept, and one reports classes that are short although the pool has a
surplus, or the filter a `fill_to`.
"""

import json
import os
import sys
from collections.abc import Mapping
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from pipeline.artifacts import made, shards
from pipeline.artifacts.atomic import replacing
from pipeline.data.classes import cells_of
from pipeline.errors import InputError
from pipeline.jobs import command
from pipeline.scores import selection


def main(args) -> None:
    if args.scores and len(args.scores) != len(args.indices):
        raise InputError(f"{len(args.scores)} files of scores are given; give as many as the indices, or none")
    files = list(zip_longest(args.indices, args.scores))
    manifest = shards.read_table(args.manifest, ["class", "class_name", "split"], shards.OPTIONAL)
    cells = cells_of(manifest, args.config["cells"])
    # twice, because a pool may have millions of pictures: first what decides, of all, and then all of the kept ones
    deciding = [_deciding(*pair, args.config, cells) for pair in files]
    pool = pd.concat(deciding, ignore_index=True).astype({"cell": np.int64, "surplus": bool})
    inside = selection.in_range(pool, args.config["fill_range"])
    pool = pool[inside]
    planned = np.bincount(pool.loc[~pool["surplus"], "cell"], minlength=len(cells))
    asked = selection.asked(planned, args.config, cells["train"].to_numpy())
    selected = selection.select(pool, args.config, asked)
    facts = [made.about(index) for index in args.indices]
    again = {fault: sum(one.get(fault, 0) for one in facts) for fault in ("redrawn", "flagged")}
    summary = again | selection.summary(pool, selected, asked, cells)
    chosen = np.zeros(len(inside), bool)
    chosen[inside] = selected["kept"]
    counted = args.output.with_name("summary.json")

    def kept():
        ends = np.cumsum([len(table) for table in deciding])
        for (index, scores), rows in zip(files, np.split(chosen, ends[:-1]), strict=True):
            yield _scored(index, scores, args.output.parent)[rows]
        with replacing(counted) as part:  # before the table is closed, because it has the summary's digest
            part.write_text(json.dumps(summary, indent=1), encoding="utf-8")

    shards.write_blocks(kept(), args.output, beside=[counted])
    if empty := summary["empty_classes"]:
        print(f"warning: no picture was kept of the classes: {', '.join(empty)}", file=sys.stderr)
    if summary["short"] and (args.config["fill_to"] is not None or pool["surplus"].any()):
        short = [
            f"{selection.name_of(row)} ({row['kept']} of {row['asked']})" for row in summary["classes"] if row["short"]
        ]
        more = f" and {len(short) - 5} more classes" if len(short) > 5 else ""
        print(
            f"warning: {summary['short']} of {summary['asked']} pictures are short, because the pool has too few that survive the"
            f" filter: {', '.join(short[:5])}{more}; let the pool draw more (surplus, per_class), or set the filter's top_up",
            file=sys.stderr,
        )
    print(f"{summary['kept']} of {summary['generated']} generated pictures kept")
    if any(again.values()):
        told = f"{again['redrawn']} because they were broken, {again['flagged']} because a safety checker flagged them"
        print(f"of the pool's {len(inside)} pictures, some were drawn again: {told}")


def _deciding(index: Path, scores: Path | None, settings: Mapping[str, Any], cells: pd.DataFrame) -> pd.DataFrame:
    """A shard's cell, surplus, and the scores of the conditions. Raises InputError if its cells are not those of the data set."""
    named = ["class", "class_name", *(["group"] if "group" in cells else [])]
    pool = shards.read_table(index, ["key", "class", "class_name"], ["group", "surplus"])
    pool = pool.reindex(columns=["key", *named, *(["surplus"] if "surplus" in pool else [])])  # no pictures, no groups
    numbers = pd.Series(range(len(cells)), pd.MultiIndex.from_frame(cells[named]))
    pool["cell"] = numbers.reindex(pd.MultiIndex.from_frame(pool[named])).to_numpy()
    for row in pool[pool["cell"].isna()].itertuples():
        raise InputError(
            f"{index} has '{row.class_name}' as class {row[2]}, but the data set has other classes, or other groups; make the pool "
            "with its classes"
        )
    wanted = {score for score, _, _ in settings["keep"]} | ({settings["highest"]} - {None})
    if scores:
        scored = shards.read_table(scores, ["key", *sorted(wanted)])
        if pool["key"].tolist() != scored["key"].tolist():
            raise InputError(
                f"{scores} does not have the scores of {index}; give scores in the same order as the indices"
            )
        pool = pool.assign(**scored.drop(columns="key"))
    return pool.drop(columns=["key", *named]).assign(surplus=pool.get("surplus", False))


def _scored(index: Path, scores: Path | None, start: Path) -> pd.DataFrame:
    """A shard's index with places relative to `start`, and with its scores if there are any."""
    pool = shards.read_table(index)
    # resolved, because `..` of a linked folder is another folder
    folder = os.path.relpath(index.parent.resolve(), start.resolve())
    places = {name: os.path.normpath(f"{folder}/{name}") for name in pool["shard"].unique()}
    pool["shard"] = pool["shard"].map(places)
    if scores is None:
        return pool
    return pool.assign(**shards.read_table(scores).drop(columns=["key", "class", "class_name"]))


def arguments():
    parser = command.parser(__doc__)
    parser.add_argument("--manifest", type=Path, required=True, help="the subset's manifest.parquet")
    parser.add_argument("--indices", type=Path, nargs="+", required=True, help="the pool's shard indices, .parquet")
    parser.add_argument("--scores", type=Path, nargs="*", default=[], help="their scores, .parquet")
    parser.add_argument("--output", type=Path, required=True, help="the selection to write, .parquet")
    return parser


if __name__ == "__main__":
    command.run(main, arguments())
