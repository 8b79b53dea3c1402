"""Train a generator on a subset's real training pictures.

    python -m pipeline.stages.generator --config '{"kind": "cbdm", "steps": 1200, ...}' \\
        --manifest results/demo/subset/manifest.parquet --output results/demo/generator/demo

writes OUTPUT/unet and OUTPUT/scheduler (diffusers' format, averaged weights) and OUTPUT/history.parquet. Until it ends, a checkpoint is
in OUTPUT/checkpoints; a run with the same settings, code and pictures continues from it.
"""

from pathlib import Path

from pipeline.jobs import command


def main(args) -> None:
    import numpy as np

    from pipeline import kinds
    from pipeline.artifacts import shards
    from pipeline.jobs.checkpoint import Checkpoint
    from pipeline.jobs.device import device

    manifest = shards.read_table(args.manifest, needs=shards.REAL)
    real = manifest[manifest["split"] == "train"]
    pictures = shards.read_pictures(real, args.manifest.parent, args.config["side"])
    checkpoint = Checkpoint(
        args.output / "checkpoints", args.config, args.code, [args.manifest], args.checkpoint_minutes
    )
    history, files = kinds.load("generators", f"{args.config['kind']}.train").train(
        args.config,
        pictures,
        np.array(real["class"]),
        int(manifest["class"].max()) + 1,
        device(),
        checkpoint,
        args.output,
    )
    shards.write_table(history, args.output / "history.parquet", beside=files)
    checkpoint.finish()


def arguments():
    parser = command.parser(__doc__)
    parser.add_argument("--manifest", type=Path, required=True, help="the subset's manifest.parquet")
    parser.add_argument("--output", type=Path, required=True, help="folder to write")
    parser.add_argument("--checkpoint-minutes", type=float, default=10, help="minutes between checkpoints (10)")
    return parser


if __name__ == "__main__":
    command.run(main, arguments())
