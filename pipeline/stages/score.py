"""Score one shard of a pool by DiffuLT's metrics.

    python -m pipeline.stages.score --config '{"metrics": ["d1", "d2", "d3"]}' \\
        --manifest results/demo/subset/manifest.parquet --features results/demo/features/demo_ce/seed-0/features.safetensors \\
        --weights results/demo/classifier/demo_ce/seed-0/weights.safetensors \\
        --index results/demo/sample/demo/shard-00000.parquet --output results/demo/score/demo/shard-00000.parquet

writes key, class, class_name and a column for each metric, in the shard's order. Finished pieces lie under checkpoints/ meanwhile.
"""

from pathlib import Path

from pipeline.jobs import command

PIECE = 500
"""Pictures that are judged at once, and kept in case the job is killed."""


def main(args) -> None:
    import numpy as np

    from pipeline.artifacts import shards
    from pipeline.jobs.checkpoint import Pieces

    index, metrics = shards.read_table(args.index), args.config["metrics"]
    scores = index[["key", "class", "class_name"]].copy()
    inputs = [args.index, args.manifest, args.weights, args.features]
    pieces = Pieces(args.output.parent / "checkpoints", args.config, args.code, inputs)
    judged = list(pieces.continued(lambda done: _judged(args, index, done)))
    scores[metrics] = np.concatenate(judged) if judged else np.zeros((0, len(metrics)))
    shards.write_table(scores, args.output)
    pieces.remove()


def _judged(args, index, done):
    """Pieces of the shard's scores from row `done` on, float64 [pictures, metrics]."""
    import numpy as np
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from pipeline import kinds
    from pipeline.artifacts import shards
    from pipeline.classifiers import network
    from pipeline.classifiers.input.reader import all_at_once
    from pipeline.errors import InputError
    from pipeline.jobs.device import device
    from pipeline.jobs.progress import progress
    from pipeline.scores.evidence import Evidence

    if done == len(index):
        return
    target, manifest = device(), shards.read_table(args.manifest)
    classifier = network.load(args.weights, target)
    rest = index[done:]
    made = all_at_once([(rest, args.index.parent)], classifier.side, target)
    train = manifest[manifest["split"] == "train"]
    peers = train["class"].isin(index["class"]).to_numpy()  # a shard holds few of many classes
    real = all_at_once([(train[peers], args.manifest.parent)], classifier.side, target)
    if made.shape[1:] != real.shape[1:]:
        raise InputError(
            f"{args.index} has pictures of {made.shape[-1]} px, but the real ones have {real.shape[-1]}; "
            "give the classifier's `side`, in pixels"
        )
    try:
        known = load_file(args.features, str(target))
    except (FileNotFoundError, SafetensorError) as error:
        raise InputError(f"{args.features} is missing or damaged ({error}); run snakemake again") from None
    mask = torch.from_numpy(peers).to(target)
    of_real = (known["labels"][mask], real.flatten(1), known["features"][mask])
    labels = torch.tensor(rest["class"].tolist()).to(target)
    metrics = [kinds.load("scores", metric) for metric in args.config["metrics"]]
    for start in progress(range(0, len(rest), PIECE), "scoring", -(-len(rest) // PIECE), unit="batch"):
        rows = slice(start, start + PIECE)
        features, logits = classifier.predict(made[rows])
        evidence = Evidence(labels[rows], made[rows].flatten(1), features.to(target), logits.to(target), *of_real)
        yield np.stack([metric.score(evidence).cpu().numpy() for metric in metrics], axis=1)


def arguments():
    parser = command.parser(__doc__)
    parser.add_argument("--manifest", type=Path, required=True, help="the subset's manifest.parquet")
    parser.add_argument("--weights", type=Path, required=True, help="f0's weights.safetensors")
    parser.add_argument("--features", type=Path, required=True, help="the real pictures' features under f0")
    parser.add_argument("--index", type=Path, required=True, help="the shard's index, .parquet")
    parser.add_argument("--output", type=Path, required=True, help="the scores to write, .parquet")
    return parser


if __name__ == "__main__":
    command.run(main, arguments())
