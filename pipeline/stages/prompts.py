"""Write the prompts of the classes of a data set, or of a source, which has `classes.parquet` in place of a manifest.

    python -m pipeline.stages.prompts --config '{"kind": "templates", "templates": ["A photo of a {class}."]}' \\
        --manifest results/demo/subset/manifest.parquet --output results/demo/prompts/plain/prompts.parquet

writes one row per prompt, sorted by class: class, class_name, prompt (number within the class, from 0), text, origin. Until it ends,
what a model has written is in checkpoints/; a run with the same settings, code and inputs continues after it.
"""

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from pipeline import kinds
from pipeline.artifacts import shards
from pipeline.data.classes import class_names
from pipeline.data.readable import is_visible
from pipeline.errors import InputError
from pipeline.jobs import command
from pipeline.prompts import Job

BLOCK = 2**16
"""Rows of a row group, so that a plan of millions of pictures has only a few in memory."""


def main(args) -> None:
    names = class_names(shards.read_table(args.manifest, ["class", "class_name"])).tolist()
    pieces = []

    def continued(make: Callable[[int], Iterator[np.ndarray]]) -> Iterator[np.ndarray]:
        from pipeline.jobs.checkpoint import Pieces  # it imports torch, which other kinds do not need

        read = [args.manifest, *(path for name in sorted(args.inputs) for path in args.inputs[name])]
        pieces.append(Pieces(args.output.parent / "checkpoints", args.config, args.code, read))
        return pieces[0].continued(make)

    job = Job(names, args.manifest, args.inputs, continued)
    found = kinds.load("prompts", args.config["kind"]).texts(args.config, job)
    prompts = pd.DataFrame(found, columns=["class_name", "text", "origin"])
    empty = prompts[~prompts["text"].map(is_visible)]
    if len(empty):
        raise InputError(f"a prompt of the class '{empty['class_name'].iloc[0]}' has no text; remove it")
    having = set(prompts["class_name"])
    if missing := [name for name in names if name not in having]:
        raise InputError(
            f"{len(missing)} of {len(names)} classes have no prompt, the first '{missing[0]}'; add one for each"
        )
    prompts.insert(
        0, "class", prompts["class_name"].map({name: label for label, name in enumerate(names)}).astype("int32")
    )
    prompts = prompts.sort_values("class", kind="stable", ignore_index=True)
    prompts.insert(2, "prompt", prompts.groupby("class").cumcount().astype("int32"))
    shards.write_blocks((prompts[start : start + BLOCK] for start in range(0, len(prompts), BLOCK)), args.output)
    if pieces:
        pieces[0].finish()
    print(f"{len(prompts)} prompts for {len(names)} classes")


def arguments():
    parser = command.parser(__doc__)
    parser.add_argument(
        "--manifest", type=Path, required=True, help="the subset's manifest.parquet, or a source's classes"
    )
    command.add_inputs(parser)
    parser.add_argument("--output", type=Path, required=True, help="the prompts to write, .parquet")
    return parser


if __name__ == "__main__":
    command.run(main, arguments())
