"""Compute the real training pictures' features under a classifier, once for all scoring jobs.

    python -m pipeline.stages.features --manifest results/demo/subset/manifest.parquet \\
        --weights results/demo/classifier/demo_ce/seed-0/weights.safetensors \\
        --output results/demo/features/demo_ce/seed-0/features.safetensors

writes `features` (float32 [N, F]) and `labels` (int64 [N]), in the manifest's order.
"""

from pathlib import Path

from pipeline.jobs import command


def main(args) -> None:
    import torch
    from safetensors.torch import save_file

    from pipeline.artifacts import digests, made, shards
    from pipeline.artifacts.atomic import replacing
    from pipeline.classifiers import network
    from pipeline.classifiers.input.reader import open_pictures
    from pipeline.jobs.device import device

    manifest = shards.read_table(args.manifest, needs=shards.REAL)
    real = manifest[manifest["split"] == "train"]
    target = device()
    classifier = network.load(args.weights, target)
    pictures = open_pictures([(real, args.manifest.parent)], classifier.side, target)
    features, _ = classifier.predict(pictures, label="features of real pictures")
    with replacing(args.output) as part:
        labels = torch.tensor(real["class"].tolist())
        save_file({"features": features, "labels": labels}, part, made.metadata())
        digests.seal(part)


def arguments():
    parser = command.parser(__doc__, config=False)
    parser.add_argument("--manifest", type=Path, required=True, help="the subset's manifest.parquet")
    parser.add_argument("--weights", type=Path, required=True, help="the classifier's weights.safetensors")
    parser.add_argument("--output", type=Path, required=True, help="the features to write, .safetensors")
    return parser


if __name__ == "__main__":
    command.run(main, arguments())
