"""Evaluate a classifier's last epoch on a split, by default the test split.

    python -m pipeline.stages.evaluate --manifest results/demo/subset/manifest.parquet --seed 0 \\
        --weights results/demo/classifier/demo/seed-0/weights.safetensors --output results/demo/evaluate/demo/seed-0

writes OUTPUT/predictions.parquet (key, class, predicted, probability of the class), OUTPUT/per_class.csv and
OUTPUT/metrics.json. The metrics include the best test epoch, as best_test_epoch and best_test_top1.
"""

import json
from pathlib import Path

from pipeline.jobs import command


def main(args) -> None:
    import numpy as np
    import pandas as pd

    from pipeline.artifacts import shards
    from pipeline.artifacts.atomic import replacing
    from pipeline.classifiers import network
    from pipeline.classifiers.input.reader import open_pictures
    from pipeline.data.classes import class_names, counts_of
    from pipeline.errors import InputError
    from pipeline.evaluation.accuracy import accuracy, per_class_accuracy
    from pipeline.jobs.device import device

    manifest = shards.read_table(args.manifest)
    judged = manifest[manifest["split"] == args.split]
    if not len(judged):
        raise InputError(
            f"{args.manifest} has no pictures of the split '{args.split}'; "
            f"give --split one of: {', '.join(manifest['split'].unique())}"
        )
    target = device()
    classifier = network.load(args.weights, target)
    pictures = open_pictures([(judged, args.manifest.parent)], classifier.side, target)
    _, logits = classifier.predict(pictures, label="evaluating")

    labels, predicted = judged["class"].to_numpy("int64"), logits.argmax(1).numpy()
    probabilities = logits.double().softmax(1).numpy()[np.arange(len(labels)), labels]
    names, counts = class_names(manifest), counts_of(manifest)["train"]
    by_class = pd.DataFrame({"class": np.arange(len(names)), "class_name": names, "train_pictures": counts})
    by_class["accuracy"] = per_class_accuracy(labels, predicted, len(names))
    per_class = args.output / "per_class.csv"
    with replacing(per_class) as part:
        by_class.to_csv(part, index=False)

    outcome = network.outcome(args.weights)
    kept = ("steps", "real_pictures", "generated_pictures", "best_test_epoch", "best_test_top1")
    metrics = accuracy(labels, predicted, counts) | {name: outcome[name] for name in kept}
    about = {"seed": args.seed, "backbone": outcome["backbone"], "width": outcome["width"], "metrics": metrics}
    figures = args.output / "metrics.json"
    with replacing(figures) as part:
        part.write_text(json.dumps(about, indent=1))
    predictions = judged[["key", "class"]].assign(predicted=predicted, probability=probabilities)
    shards.write_table(predictions, args.output / "predictions.parquet", beside=[per_class, figures])
    print(f"top-1 {metrics['top1']:.2f} % after the last epoch")


def arguments():
    parser = command.parser(__doc__, config=False)
    parser.add_argument("--manifest", type=Path, required=True, help="the subset's manifest.parquet")
    parser.add_argument("--weights", type=Path, required=True, help="the classifier's weights.safetensors")
    parser.add_argument("--seed", type=int, required=True, help="the classifier's seed, for the tables")
    parser.add_argument("--split", default="test", help="the split to evaluate on (test)")
    parser.add_argument("--output", type=Path, required=True, help="folder to write")
    return parser


if __name__ == "__main__":
    command.run(main, arguments())
