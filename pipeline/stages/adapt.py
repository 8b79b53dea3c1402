"""Train what a generator adds to a foundation, for the classes of one shard: the vectors of textual inversion, for example.

    python -m pipeline.stages.adapt --config '{"kind": "textual_inversion", "vectors": 4, ...}' --shard "0 of 4" \\
        --manifest results/demo/subset/manifest.parquet --foundation results/foundations/demo_mini/foundation.parquet \\
        --output results/demo/adapt/demo_fill_up/shard-00000.parquet

writes the trained files into a folder beside OUTPUT, of its name, and OUTPUT, a row for each state that was kept: class, class_name,
step, loss. The shards have about the same number of steps. Until it ends, a checkpoint is in the folder `checkpoints`; a run with the
same settings, code and pictures continues from it.
"""

from pathlib import Path

from pipeline.jobs import command


def main(args) -> None:
    from pipeline import kinds
    from pipeline.artifacts import shards
    from pipeline.data.classes import class_names, counts_of
    from pipeline.errors import InputError
    from pipeline.foundations.table import identity
    from pipeline.generators.adapting import Job
    from pipeline.generators.shares import classes_of
    from pipeline.jobs.checkpoint import Checkpoint, Pieces
    from pipeline.jobs.device import device
    from pipeline.jobs.inputs import only

    manifest = shards.read_table(args.manifest, needs=shards.REAL)
    names, counts = class_names(manifest), counts_of(manifest)["train"]
    if (counts == 0).any():
        raise InputError(
            f"{names[counts == 0][0]} has no real training picture to learn from; leave such classes out of the data set"
        )
    kind, steps = (kinds.load("generators", f"{args.config['kind']}.{name}") for name in ("train", "steps"))
    own = classes_of(steps.steps_of(args.config, counts), *args.shard)
    real = manifest[(manifest["split"] == "train") & manifest["class"].isin(own)]
    foundation = only(args.inputs, "foundation")
    settings = args.config | {"shard": args.shard}
    kept = args.output.parent / "checkpoints", settings, args.code, [args.manifest, foundation]
    job = Job(
        foundation,
        real.sort_values(["class", "key"], ignore_index=True),
        args.manifest.parent,
        own,
        names,
        device(),
        Checkpoint(*kept, args.checkpoint_minutes),
        Pieces(*kept),
        args.output.with_suffix(""),
    )
    history, files = kind.train(args.config, job)
    if job.output.is_dir():  # of a shard that had other classes before, whose files no table would seal
        for stale in set(job.output.iterdir()) - set(files):
            stale.unlink()
    shards.write_table(
        history, args.output, beside=files, about={"foundation": identity(foundation)} | kind.about(args.config)
    )
    job.checkpoint.finish()
    print(f"{len(own)} of {len(names)} classes were learned in {len(history)} states")


def arguments():
    parser = command.parser(__doc__)
    parser.add_argument("--manifest", type=Path, required=True, help="the subset's manifest.parquet")
    parser.add_argument("--checkpoint-minutes", type=float, default=10, help="minutes between checkpoints (10)")
    command.add_inputs(parser)
    command.add_shard(parser)
    return parser


if __name__ == "__main__":
    command.run(main, arguments())
