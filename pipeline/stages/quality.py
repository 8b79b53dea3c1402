"""Measure the quality of a pool against real training pictures, under a named feature extractor.

    python -m pipeline.stages.quality --config '{"extractor": "classifier", "splits": 10, "nearest": 5, "sample_size": 10000,
        "against": "training"}' \\
        --manifest results/demo/subset/manifest.parquet --weights results/demo/classifier/demo_ce/seed-0/weights.safetensors \\
        --indices results/demo/sample/demo/shard-00000.parquet ... --output results/demo/quality/demo/quality.json

writes, under a classifier, fd_scorer, is_scorer (with is_scorer_std), precision_scorer, recall_scorer, density_scorer and
coverage_scorer; under Inception v3 the same as fid, is and precision_inception; under DINO or a foundation's CLIP as fd_dino or fd_clip,
without the inception score; and the numbers of generated and real pictures. The real ones are the training split and, if the subset keeps
them, those that the long tail left out; or, with "against": "val", the validation split.
"""

import json
from pathlib import Path

from pipeline.jobs import command

BLOCK = 2000
NAMES = {  # extractor -> Fréchet distance, inception score, ending of the others
    "classifier": ("fd_scorer", "is_scorer", "scorer"),
    "inception": ("fid", "is", "inception"),
    "dino": ("fd_dino", None, "dino"),
    "clip": ("fd_clip", None, "clip"),
}


def main(args) -> None:
    import numpy as np

    from pipeline import kinds
    from pipeline.artifacts import digests, made, shards
    from pipeline.artifacts.atomic import replacing
    from pipeline.errors import InputError
    from pipeline.evaluation.neighbours import neighbour_metrics
    from pipeline.evaluation.quality import InceptionScore, Moments, Some, frechet_distance
    from pipeline.jobs.device import device
    from pipeline.jobs.progress import progress

    manifest = shards.read_table(args.manifest, needs=shards.REAL)
    against = args.config["against"]
    reference = manifest[manifest["split"].isin(["train", "rest"] if against == "training" else [against])]
    pool = [(shards.read_asked(path, shards.PICTURE), path.parent) for path in args.indices]
    count, nearest, size = sum(len(table) for table, _ in pool), args.config["nearest"], args.config["sample_size"]
    if min(count, len(reference)) <= nearest:
        raise InputError(
            f"{args.output}: there are {count} generated and {len(reference)} real pictures, too few for `nearest: {nearest}`;"
            " lower it"
        )
    target = device()
    side = next(shards.read_pictures(table[:1], folder).shape[1] for table, folder in pool if len(table))
    extractor = kinds.load("evaluation.extractors", args.config["extractor"])
    extract = extractor.load(args.config, args.inputs, side, target)

    def results(tables, label):
        blocks = [(table.iloc[i : i + BLOCK], folder) for table, folder in tables for i in range(0, len(table), BLOCK)]
        for table, folder in progress(blocks, label, len(blocks), unit="block"):
            yield extract(table, folder)

    real = generated = score = None
    some_real, some_generated = Some(len(reference), size), Some(count, size)
    for features, _ in results([(reference, args.manifest.parent)], "real pictures"):
        real = real or Moments(features.shape[1])
        real.update(features.numpy())
        some_real.update(features)
    for features, logits in results(pool, "generated pictures"):
        generated = generated or Moments(features.shape[1])
        generated.update(features.numpy())
        some_generated.update(features)
        if logits is not None:
            score = score or InceptionScore(logits.shape[1], args.config["splits"])
            score.update(logits.numpy())
    distance, inception_score, ending = NAMES[args.config["extractor"]]
    found = {distance: frechet_distance(real, generated)}
    if score:
        found[inception_score], found[f"{inception_score}_std"] = score.mean_and_deviation()
    by_neighbours = neighbour_metrics(some_real.rows().to(target), some_generated.rows().to(target), nearest)
    found |= {f"{name}_{ending}": value for name, value in by_neighbours.items()}
    found |= {"quality_generated_pictures": count, "quality_real_pictures": len(reference)}
    metrics = {name: float(np.round(value, 6)) for name, value in found.items()}
    with replacing(args.output) as part:
        about = {"metrics": metrics, "made": made.current(), "seal": digests.BLANK}
        part.write_text(json.dumps(about, indent=1), encoding="utf-8")
        digests.seal(part)
    print(json.dumps(found))


def arguments():
    parser = command.parser(__doc__)
    parser.add_argument("--manifest", type=Path, required=True, help="the subset's manifest.parquet")
    parser.add_argument("--indices", type=Path, nargs="+", required=True, help="the pool's shard indices, .parquet")
    command.add_inputs(parser)
    parser.add_argument("--output", type=Path, required=True, help="the figures to write, .json")
    return parser


if __name__ == "__main__":
    command.run(main, arguments())
