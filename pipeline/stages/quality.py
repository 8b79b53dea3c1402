"""Measure the quality of a pool against real training pictures, under a named feature extractor.

    python -m pipeline.stages.quality --config '{"splits": 10, "inception_weights": null}' \\
        --manifest results/demo/subset/manifest.parquet --weights results/demo/classifier/demo_ce/seed-0/weights.safetensors \\
        --indices results/demo/sample/demo/shard-00000.parquet ... --output results/demo/quality/demo/quality.json

writes fd_scorer and is_scorer (with is_scorer_std) under a classifier, or fid and is under Inception v3 weights from a local file, and
the numbers of generated and real pictures. The real ones are the training split and, if the subset keeps them, those that the long tail
left out.
"""

import json
from pathlib import Path

from pipeline.jobs import command

BLOCK = 2000


def main(args) -> None:
    import numpy as np

    from pipeline.artifacts import digests, made, shards
    from pipeline.artifacts.atomic import replacing
    from pipeline.errors import InputError
    from pipeline.evaluation.quality import InceptionScore, Moments, frechet_distance
    from pipeline.jobs.device import device
    from pipeline.jobs.progress import progress

    manifest = shards.read_table(args.manifest, needs=shards.REAL)
    reference = manifest[manifest["split"].isin(["train", "rest"])]
    pool = [(shards.read_asked(path, shards.PICTURE), path.parent) for path in args.indices]
    target = device()
    inception = args.config["inception_weights"]
    extract = _inception(inception, pool, target) if inception else _classifier(args.weights, target)

    def results(tables, label):
        blocks = [(table.iloc[i : i + BLOCK], folder) for table, folder in tables for i in range(0, len(table), BLOCK)]
        for table, folder in progress(blocks, label, len(blocks), unit="block"):
            features, logits = extract(table, folder)
            yield features.numpy(), logits.numpy()

    real = generated = score = None
    for features, _ in results([(reference, args.manifest.parent)], "real pictures"):
        real = real or Moments(features.shape[1])
        real.update(features)
    for features, logits in results(pool, "generated pictures"):
        generated = generated or Moments(features.shape[1])
        score = score or InceptionScore(logits.shape[1], args.config["splits"])
        generated.update(features)
        score.update(logits)
    count = sum(len(table) for table, _ in pool)
    if count < 2:
        raise InputError(f"{args.output}: the pool has {count} pictures; a distance needs at least two")
    distance, inception_score = ("fid", "is") if inception else ("fd_scorer", "is_scorer")
    mean, deviation = score.mean_and_deviation()
    found = {distance: frechet_distance(real, generated), inception_score: mean, f"{inception_score}_std": deviation}
    found |= {"quality_generated_pictures": count, "quality_real_pictures": len(reference)}
    metrics = {name: float(np.round(value, 6)) for name, value in found.items()}
    with replacing(args.output) as part:
        about = {"metrics": metrics, "made": made.current(), "seal": digests.BLANK}
        part.write_text(json.dumps(about, indent=1), encoding="utf-8")
        digests.seal(part)
    print(json.dumps(found))


def _classifier(weights, target):
    """A function from pictures, a table and its folder, to (features, logits) under the scorer."""
    from pipeline.classifiers import network
    from pipeline.classifiers.input.reader import open_pictures

    classifier = network.load(weights, target)
    return lambda table, folder: classifier.predict(open_pictures([(table, folder)], classifier.side, target))


def _inception(weights, pool, target):
    """The same under Inception v3, with real pictures resized to the pool's side."""
    from pipeline.artifacts import shards
    from pipeline.classifiers.input.reader import to_batch
    from pipeline.evaluation import inception

    extract = inception.load(Path(weights), target)
    side = next((shards.read_pictures(table[:1], folder).shape[1] for table, folder in pool if len(table)), None)
    return lambda table, folder: extract(to_batch(shards.read_pictures(table, folder, side), target))


def arguments():
    parser = command.parser(__doc__)
    parser.add_argument("--manifest", type=Path, required=True, help="the subset's manifest.parquet")
    parser.add_argument("--indices", type=Path, nargs="+", required=True, help="the pool's shard indices, .parquet")
    parser.add_argument("--weights", type=Path, help="the scorer's weights.safetensors, unless Inception is given")
    parser.add_argument("--output", type=Path, required=True, help="the figures to write, .json")
    return parser


if __name__ == "__main__":
    command.run(main, arguments())
