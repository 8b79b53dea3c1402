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
    return found | {"balanced": float(np.nanmean(accuracy_of_each(labels, correct, len(train_counts))))}


def accuracy_of_each(numbers: np.ndarray, correct: np.ndarray, count: int) -> np.ndarray:
    """Percent of correct pictures of each class or group, float64 [count]; NaN for one without pictures.

    numbers: each picture's class or group, int64 [N], -1 for none; correct: bool [N].
    """
    known = numbers >= 0
    total = np.bincount(numbers[known], minlength=count).astype(float)
    right = np.bincount(numbers[known & correct], minlength=count)
    return np.divide(100 * right, total, out=np.full(count, np.nan), where=total > 0)
