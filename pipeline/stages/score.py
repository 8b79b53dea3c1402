"""Score one shard of a pool by DiffuLT's metrics.

    python -m pipeline.stages.score --config '{"metrics": ["d1", "d2", "d3"]}' \\
        --manifest results/demo/subset/manifest.parquet --features results/demo/features/demo_ce/seed-0/features.safetensors \\
        --weights results/demo/classifier/demo_ce/seed-0/weights.safetensors \\
        --shard results/demo/sample/demo/shard-00000.parquet --output results/demo/score/demo/shard-00000.parquet

writes key, class, class_name and a column for each metric, in the shard's order.
"""

from pathlib import Path

from pipeline import command


def main(args) -> None:
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    from pipeline import kinds, shards
    from pipeline.classifiers import network
    from pipeline.device import device
    from pipeline.errors import InputError
    from pipeline.filters.evidence import Evidence

    index, manifest = shards.read_table(args.shard), shards.read_table(args.manifest)
    scores = index[["key", "class", "class_name"]].copy()
    target = device()
    if len(index):
        classifier = network.load(args.weights, target)
        made = network.to_batch(shards.read_pictures(index, args.shard.parent, classifier.side), target)
        train = manifest[manifest["split"] == "train"]
        peers = train["class"].isin(index["class"]).to_numpy()  # a shard holds few of many classes
        real = network.to_batch(shards.read_pictures(train[peers], args.manifest.parent, classifier.side), target)
        if made.shape[1:] != real.shape[1:]:
            raise InputError(
                f"{args.shard} has pictures of {made.shape[-1]} px, but the real ones have {real.shape[-1]}; "
                "give the classifier's `side`, in pixels"
            )
        features, logits = classifier.predict(made, label="scoring")
        try:
            known = load_file(args.features, str(target))
        except (OSError, SafetensorError) as error:
            raise InputError(f"{args.features} is missing or damaged ({error}); run snakemake again") from None
        mask = torch.from_numpy(peers).to(target)
        evidence = Evidence(
            labels=torch.tensor(index["class"].tolist()).to(target),
            pixels=made.flatten(1),
            features=features.to(target),
            logits=logits.to(target),
            real_labels=known["labels"][mask],
            real_pixels=real.flatten(1),
            real_features=known["features"][mask],
        )
    for metric in args.config["metrics"]:
        scores[metric] = kinds.load("filters", metric).score(evidence).cpu().numpy() if len(index) else 0.0
    shards.write_table(scores, args.output)


def arguments():
    parser = command.parser(__doc__)
    parser.add_argument("--manifest", type=Path, required=True, help="the subset's manifest.parquet")
    parser.add_argument("--weights", type=Path, required=True, help="f0's weights.safetensors")
    parser.add_argument("--features", type=Path, required=True, help="the real pictures' features under f0")
    parser.add_argument("--shard", type=Path, required=True, help="the shard's index, .parquet")
    parser.add_argument("--output", type=Path, required=True, help="the scores to write, .parquet")
    return parser


if __name__ == "__main__":
    command.run(main, arguments())
