"""Accuracy, overall and by shot."""

import numpy as np

from pipeline.data.shots import shots


def accuracy(labels: np.ndarray, predicted: np.ndarray, train_counts: np.ndarray) -> dict[str, float]:
    """Percent of correct pictures, overall and by shot. labels, predicted: int64 [N]; train_counts: training pictures [C].

    top1: all test pictures. many, medium, few: those of a shot's classes (see pipeline.data.shots). medium_few: those of
    medium and few together (DiffuLT Table 6). medium_le20, few_le20: with 20 training pictures counted as few (SAU, GLMC).
    balanced: the mean of the classes' accuracies. Entries without test pictures are omitted.
    """
    correct = labels == predicted
    groups = shots(train_counts)[labels]
    groups_le20 = shots(train_counts, few_includes_20=True)[labels]
    rows = {
        "top1": np.full(len(labels), True),
        "many": groups == "many",
        "medium": groups == "medium",
        "few": groups == "few",
        "medium_few": groups != "many",
        "medium_le20": groups_le20 == "medium",
        "few_le20": groups_le20 == "few",
    }
    found = {name: float(100 * correct[chosen].sum() / chosen.sum()) for name, chosen in rows.items() if chosen.any()}
    return found | {"balanced": float(np.nanmean(per_class_accuracy(labels, predicted, len(train_counts))))}


def per_class_accuracy(labels: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Percent of correct pictures of each class, float64 [classes]; NaN for a class without pictures."""
    total = np.bincount(labels, minlength=classes).astype(float)
    right = np.bincount(labels[labels == predicted], minlength=classes)
    return np.divide(100 * right, total, out=np.full(classes, np.nan), where=total > 0)
