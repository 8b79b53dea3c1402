"""Evaluate a classifier's last epoch on the test split and, if there is one, on the validation split.

    python -m pipeline.stages.evaluate --manifest results/demo/subset/manifest.parquet --seed 0 \\
        --weights results/demo/classifier/demo/seed-0/weights.safetensors --output results/demo/evaluate/demo/seed-0

writes OUTPUT/predictions.parquet (a row for each picture), OUTPUT/per_class.csv, OUTPUT/per_group.csv (without groups, its
header alone) and OUTPUT/metrics.json. Figures of the validation split have names that begin with val_. The metrics include
the best test epoch, as best_test_epoch and best_test_top1.
"""

import json
from pathlib import Path

from pipeline.jobs import command


def main(args) -> None:
    import numpy as np

    from pipeline.artifacts import shards
    from pipeline.artifacts.atomic import replacing
    from pipeline.classifiers import network
    from pipeline.classifiers.input.reader import open_pictures
    from pipeline.data.classes import counted
    from pipeline.data.groups import group_numbers
    from pipeline.errors import InputError
    from pipeline.evaluation.accuracy import accuracy, accuracy_of_each
    from pipeline.jobs.device import device

    manifest = shards.read_table(args.manifest)
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

    by_class, by_group = (counted(manifest, by) for by in (["class", "class_name"], ["group"]))
    train_counts, names = by_class["train"].to_numpy(), by_class["class_name"].to_numpy()
    labels, predicted = judged["class"].to_numpy("int64"), logits.argmax(1).numpy()
    correct, groups = labels == predicted, group_numbers(judged, by_group["group"].tolist())
    metrics = {}
    for split, prefix in ((args.split, ""), ("val", "val_")):
        rows = (judged["split"] == split).to_numpy()
        for table, numbers in ((by_class, labels), (by_group, groups)):
            table[f"{prefix}accuracy"] = accuracy_of_each(numbers[rows], correct[rows], len(table))
        found = accuracy(labels[rows], predicted[rows], train_counts) if rows.any() else {}
        if by_group[f"{prefix}accuracy"].notna().any():
            found["worst_group"] = float(by_group[f"{prefix}accuracy"].min())
        metrics |= {prefix + name: value for name, value in found.items()}

    tables = {args.output / "per_class.csv": by_class, args.output / "per_group.csv": by_group}
    for path, table in tables.items():
        pictures_in = {split: f"{split}_pictures" for split in ("train", "val", "test")}
        with replacing(path) as part:
            table.drop(columns="rest").rename(columns=pictures_in).to_csv(part, index=False)
    outcome = network.outcome(args.weights)
    kept = ("steps", "real_pictures", "generated_pictures", "best_test_epoch", "best_test_top1")
    metrics |= {name: outcome[name] for name in kept}
    about = {"seed": args.seed, "backbone": outcome["backbone"], "width": outcome["width"], "metrics": metrics}
    figures = args.output / "metrics.json"
    with replacing(figures) as part:
        part.write_text(json.dumps(about, indent=1))
    probabilities = logits.double().softmax(1).numpy()
    predictions = judged.reindex(columns=["key", "source", "split", "group", "class", "class_name"]).assign(
        predicted=predicted,
        predicted_name=names[predicted],
        probability=probabilities[np.arange(len(labels)), labels],
        top_probability=probabilities.max(1),
    )
    predictions = predictions.rename(columns={"source": "file"}).astype({"group": "str"})  # also where there are none
    shards.write_table(predictions, args.output / "predictions.parquet", beside=[*tables, figures])
    print(f"top-1 {metrics['top1']:.2f} % after the last epoch")


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
