"""Plan a pool: the pictures to generate, each with its seed.

    python -m pipeline.stages.plan --config '{"fill_to": "max", "per_class": null, "fill_range": [0, 1],
        "surplus": 0, "classes": null, "shots": ["many", "medium", "few"], "cells": "class", "seed": 0}' \\
        --manifest results/demo/subset/manifest.parquet --output results/demo/plan/demo/plan.parquet

writes one row per picture: class, class_name, index (within the class), seed; surplus, where there is one; and prompt, with
`--prompts PATH`, the prompts of the classes. With "cells": "group", groups are filled and not classes: a row has its group and perhaps
context, its index is within the group, and the context takes the place of {context} in its prompt.

With "sources" in the settings, "all" or a number for each class, the column source has the key of a real training picture of the class,
one of all or of so many. With "strength", a lowest and a highest one, the column strength has one for each picture. With
"checkpoints" ("all", "last" or a number) and `--generator PATH`, the table of what a generator kept, the column checkpoint has a step
of its training. With "criteria", the column criterion has the one of them that the picture's feedback follows.
"""

from pathlib import Path

import numpy as np

from pipeline.artifacts import shards
from pipeline.data.classes import cells_of, class_names
from pipeline.data.groups import name_hashes
from pipeline.generators.checkpoints import Checkpoints
from pipeline.generators.plan import Plan
from pipeline.generators.sources import Sources, strengths
from pipeline.jobs import command
from pipeline.jobs.inputs import only
from pipeline.prompts.table import PromptTable, in_contexts

BLOCK = 2**16
"""Rows of a row group: more than most shards have, so that a shard's job reads only one or two groups."""


def main(args) -> None:
    drawn_from = ["key"] if args.config.get("sources") else []
    manifest = shards.read_table(args.manifest, ["class", "class_name", *drawn_from], ["split", *shards.OPTIONAL])
    names = class_names(manifest)
    plan = Plan(args.config, cells_of(manifest, args.config["cells"]))
    prompts = PromptTable(only(args.inputs, "prompts")) if "prompts" in args.inputs else None
    sources, spread, seed = None, args.config.get("strength"), args.config["seed"]
    checkpoints = None
    if asked := args.config.get("checkpoints"):
        checkpoints = Checkpoints(shards.read_table(only(args.inputs, "generator"), ["class", "step"]), asked)
        checkpoints.require(plan.per_class, names)
    if drawn_from:
        sources = Sources(manifest[manifest["split"] == "train"], seed, args.config["sources"])
        sources.require(plan.per_class, names)

    def blocks():
        for start in range(0, max(1, len(plan)), BLOCK):
            rows = plan.rows(start, start + BLOCK)
            row = rows["class"].to_numpy(), rows["index"].to_numpy()
            groups = name_hashes(rows["group"]) if "group" in rows else None
            if prompts:
                rows["prompt"] = in_contexts(prompts.of(*row), rows.get("context"))
            if sources:
                rows["source"] = sources.of(*row, groups)
            if spread:
                rows["strength"] = strengths(seed, *row, groups, *spread)
            if criteria := args.config.get("criteria"):
                rows["criterion"] = np.array(criteria, object)[rows["seed"] % len(criteria)]
            if checkpoints:
                rows["checkpoint"] = checkpoints.of(*row)
            yield rows

    shards.write_blocks(blocks(), args.output)
    print(f"{len(plan)} pictures planned for {np.count_nonzero(plan.per_class)} of {len(names)} classes")


def arguments():
    parser = command.parser(__doc__)
    parser.add_argument(
        "--manifest", type=Path, required=True, help="the subset's manifest.parquet, or a source's classes"
    )
    command.add_inputs(parser)
    parser.add_argument("--output", type=Path, required=True, help="the plan to write, .parquet")
    return parser


if __name__ == "__main__":
    command.run(main, arguments())
