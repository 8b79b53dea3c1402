"""Evaluate a classifier on the test split and, if there is one, on the validation split.

    python -m pipeline.stages.evaluate --manifest results/demo/subset/manifest.parquet --seed 0 \\
        --weights results/demo/classifier/demo/seed-0/weights.safetensors --output results/demo/evaluate/demo/seed-0

writes OUTPUT/predictions.parquet (a row for each picture), OUTPUT/per_class.csv, OUTPUT/per_group.csv (without groups, its
header alone) and OUTPUT/metrics.json. Figures of the validation split have names that begin with val_. The metrics include
the epoch whose weights these are (kept_epoch), and the best test epoch, as best_test_epoch and best_test_top1.
"""

import json
from pathlib import Path

from pipeline.jobs import command


def main(args) -> None:
    from pipeline.artifacts import shards
    from pipeline.artifacts.atomic import replacing
    from pipeline.classifiers import network
    from pipeline.classifiers.input.reader import open_pictures
    from pipeline.errors import InputError
    from pipeline.evaluation.figures import figures
    from pipeline.jobs.device import device

    manifest = shards.read_table(args.manifest, needs=shards.REAL)
    if args.split not in set(manifest["split"]):
        raise InputError(
            f"{args.manifest} has no pictures of the split '{args.split}'; "
            f"give --split one of: {', '.join(manifest['split'].unique())}"
        )
    judged = manifest[manifest["split"].isin((args.split, "val"))]
    target = device()
    classifier = network.load(args.weights, target)
    pictures = open_pictures([(judged, args.manifest.parent)], classifier.side, target)
    _, logits = classifier.predict(pictures, label="evaluating")

    found = figures(manifest, judged, logits.double().softmax(1).numpy(), args.split)
    tables = {args.output / "per_class.csv": found.classes, args.output / "per_group.csv": found.groups}
    for path, table in tables.items():
        with replacing(path) as part:
            table.to_csv(part, index=False)
    outcome = network.outcome(args.weights)
    kept = ("steps", "real_pictures", "generated_pictures", "kept_epoch", "best_test_epoch", "best_test_top1")
    if missing := [name for name in kept if name not in outcome]:
        raise InputError(f"{args.weights} does not say its {missing[0]}, as an earlier version made it; train it again")
    metrics = found.metrics | {name: outcome[name] for name in kept}
    about = {"seed": args.seed, "network": network.label(outcome), "metrics": metrics}
    if failed := outcome.get("failed"):  # a trial of a search
        about["failed"] = failed
    with replacing(args.output / "metrics.json") as part:
        part.write_text(json.dumps(about, indent=1), encoding="utf-8")
    beside = [*tables, args.output / "metrics.json"]
    shards.write_table(found.predictions, args.output / "predictions.parquet", beside)
    print(f"top-1 {metrics['top1']:.2f} % after epoch {metrics['kept_epoch']}")


def arguments():
    parser = command.parser(__doc__, config=False)
    parser.add_argument("--manifest", type=Path, required=True, help="the subset's manifest.parquet")
    parser.add_argument("--weights", type=Path, required=True, help="the classifier's weights.safetensors")
    parser.add_argument("--seed", type=int, required=True, help="the classifier's seed, for the tables")
    parser.add_argument("--split", default="test", help="the split to evaluate on, beside val (test)")
    parser.add_argument("--output", type=Path, required=True, help="folder to write")
    return parser


if __name__ == "__main__":
    command.run(main, arguments())
