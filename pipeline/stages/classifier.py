"""Train a classifier on real and selected generated pictures.

    python -m pipeline.stages.classifier --config '{"backbone": "small", "loss": "cross_entropy", ...}' --seed 0 \\
        --manifest results/demo/subset/manifest.parquet --selected results/demo/select/demo/selected.parquet \\
        --output results/demo/classifier/demo/seed-0

writes OUTPUT/weights.safetensors (of the last epoch) and OUTPUT/history.parquet. A checkpoint lies under OUTPUT/checkpoints meanwhile.
"""

from pathlib import Path

from pipeline import command


def main(args) -> None:
    import numpy as np
    import torch

    from pipeline import shards
    from pipeline.checkpoint import Checkpoint
    from pipeline.classifiers import network as networks
    from pipeline.classifiers.train import Pictures, train
    from pipeline.device import device
    from pipeline.errors import InputError

    config = args.config
    manifest = shards.read_table(args.manifest)
    selected = [(shards.read_table(path), path.parent) for path in args.selected]
    real = (manifest[manifest["split"] == "train"], args.manifest.parent)
    sources = ([(*real, False)] if config["real"] else []) + [(*table, True) for table in selected]

    def read(tables):
        tables = [(table, folder, synthetic) for table, folder, synthetic in tables if len(table)]
        if not tables:
            raise InputError(
                f"{args.output}: nothing to train on, for no picture was selected; loosen the filter's keep"
            )
        pictures = [shards.read_pictures(table, folder, config["side"]) for table, folder, _ in tables]
        if len({array.shape[1:] for array in pictures}) > 1:
            raise InputError(
                f"{args.output}: the data have pictures of different sizes; give the classifier's `side`, in pixels"
            )
        synthetic = np.concatenate([np.full(len(table), made) for table, _, made in tables])
        labels = np.concatenate([table["class"].to_numpy(np.int64) for table, _, _ in tables])
        return Pictures(np.concatenate(pictures) if len(pictures) > 1 else pictures[0], labels, synthetic)

    data = read(sources)
    test = read([(manifest[manifest["split"] == "test"], args.manifest.parent, False)])
    epoch_length = len(data.labels) + sum(len(shards.read_table(path)) for path in args.steps_as)
    inputs = [args.manifest, *args.selected, *args.steps_as, *([args.init] if args.init else [])]
    checkpoint = Checkpoint(
        args.output / "checkpoints", config | {"seed": args.seed}, args.code, inputs, args.checkpoint_minutes
    )
    torch.manual_seed(args.seed)
    target = device()
    network = networks.Network(
        config["backbone"],
        config["width"],
        int(manifest["class"].max()) + 1,
        config["mean"],
        config["std"],
        config["side"],
    )
    if args.init:
        network.load_state_dict(networks.load(args.init, torch.device("cpu")).state_dict())
    history = train(config, data, test, network, epoch_length, args.seed, target, checkpoint)
    best = history["test_top1"].idxmax()
    facts = {
        "steps": -(-epoch_length // config["batch_size"]) * config["epochs"],
        "real_pictures": int((~data.synthetic).sum()),
        "synthetic_pictures": int(data.synthetic.sum()),
        "best_test_epoch": int(history["epoch"][best]),
        "best_test_top1": float(history["test_top1"][best]),
    }
    shards.write_table(history, args.output / "history.parquet")
    networks.save(network, args.output / "weights.safetensors", facts)
    checkpoint.remove()


def arguments():
    parser = command.parser(__doc__)
    parser.add_argument("--manifest", type=Path, required=True, help="the subset's manifest.parquet")
    parser.add_argument("--selected", type=Path, nargs="*", default=[], help="selected.parquet of each generated part")
    parser.add_argument(
        "--steps-as",
        type=Path,
        nargs="*",
        default=[],
        help="selected.parquet of what else an epoch is to be as long as",
    )
    parser.add_argument("--init", type=Path, help="weights.safetensors to start from")
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--output", type=Path, required=True, help="folder to write")
    parser.add_argument("--checkpoint-minutes", type=float, default=10, help="time between checkpoints (10)")
    return parser


if __name__ == "__main__":
    command.run(main, arguments())
