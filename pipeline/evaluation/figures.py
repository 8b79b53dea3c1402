"""The figures of one classifier: metrics, and tables of its classes, groups and pictures."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from pipeline.data.classes import counted
from pipeline.data.groups import group_numbers
from pipeline.evaluation.accuracy import accuracy, accuracy_of_each

SPLITS = ("train", "val", "test")


class Figures(NamedTuple):
    """Metrics by name, in percent, and three tables: a row for each class, each group, and each judged picture."""

    metrics: dict[str, float]
    classes: pd.DataFrame
    groups: pd.DataFrame
    predictions: pd.DataFrame


def figures(manifest: pd.DataFrame, judged: pd.DataFrame, probabilities: np.ndarray, split: str) -> Figures:
    """Figures of `split`, and of the validation split under names that begin with `val_`, if these are among the `judged`.

    judged: N rows of the manifest; probabilities: float [N, classes]. Metrics are those of `accuracy`; with more than five classes,
    top5: the share of pictures with fewer than five classes that are likelier than theirs; and with groups, worst_group: the lowest
    accuracy of a group with pictures. Without groups, their table has no rows.
    """
    classes, groups = (counted(manifest, by) for by in (["class", "class_name"], ["group"]))
    labels, predicted = judged["class"].to_numpy("int64"), probabilities.argmax(1)
    correct, group_of = labels == predicted, group_numbers(judged, groups["group"].tolist())
    own = probabilities[np.arange(len(labels)), labels]
    among_five = (probabilities > own[:, None]).sum(1) < 5
    metrics = {}
    for name, prefix in ((split, ""), ("val", "val_")):
        rows = (judged["split"] == name).to_numpy()
        for table, numbers in ((classes, labels), (groups, group_of)):
            table[f"{prefix}accuracy"] = accuracy_of_each(numbers[rows], correct[rows], len(table))
        found = accuracy(labels[rows], predicted[rows], classes["train"].to_numpy()) if rows.any() else {}
        if rows.any() and len(classes) > 5:
            found["top5"] = float(100 * among_five[rows].mean())
        if groups[f"{prefix}accuracy"].notna().any():
            found["worst_group"] = float(groups[f"{prefix}accuracy"].min())
        metrics |= {prefix + metric: value for metric, value in found.items()}
    names = classes["class_name"].to_numpy()
    predictions = judged.reindex(columns=["key", "source", "split", "group", "class", "class_name"]).assign(
        predicted=predicted,
        predicted_name=names[predicted],
        probability=own,
        top_probability=probabilities.max(1),
    )
    predictions = predictions.rename(columns={"source": "file"}).astype({"group": "str"})  # also where there are none
    return Figures(metrics, *(_named(table) for table in (classes, groups)), predictions)


def _named(table: pd.DataFrame) -> pd.DataFrame:
    """The table with counts of pictures that are called so."""
    return table.drop(columns="rest").rename(columns={split: f"{split}_pictures" for split in SPLITS})
