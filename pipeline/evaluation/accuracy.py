"""Accuracy, overall and by shot."""

import numpy as np

from pipeline.data.shots import shots


def accuracy(labels: np.ndarray, predicted: np.ndarray, train_counts: np.ndarray) -> dict[str, float]:
    """Percent of correct pictures, overall and by shot. labels, predicted: int64 [N]; train_counts: training pictures [C].

    top1: all pictures. balanced: the mean of the classes' accuracies. many, medium, few: the same mean over a shot's classes
    (see pipeline.data.shots), as in public code (`shot_acc` of OLTR). medium_few: medium and few together (DiffuLT
    Table 6). medium_le20, few_le20: with 20 training pictures counted as few (SAU, GLMC). `many_over_pictures` and so on
    average over the shot's pictures; they are there where classes have different numbers of pictures. Classes without
    pictures do not count, and figures without classes are omitted.
    """
    total = np.bincount(labels, minlength=len(train_counts))
    right = np.bincount(labels[labels == predicted], minlength=len(train_counts))
    shot, shot_le20 = shots(train_counts), shots(train_counts, few_includes_20=True)
    classes = {
        "balanced": np.full(len(train_counts), True),
        "many": shot == "many",
        "medium": shot == "medium",
        "few": shot == "few",
        "medium_few": shot != "many",
        "medium_le20": shot_le20 == "medium",
        "few_le20": shot_le20 == "few",
    }
    found = {"top1": _percent(right.sum(), total.sum())}
    for name, chosen in classes.items():
        of, out_of = (counts[chosen & (total > 0)] for counts in (right, total))
        if not len(out_of):
            continue
        over_pictures = _percent(of.sum(), out_of.sum())
        found[name] = over_pictures
        if out_of.min() < out_of.max():
            found[name] = float(np.mean(100 * of / out_of))
            if name != "balanced":  # over pictures, that is top1
                found[f"{name}_over_pictures"] = over_pictures
    return found


def accuracy_of_each(numbers: np.ndarray, correct: np.ndarray, count: int) -> np.ndarray:
    """Percent of correct pictures of each class or group, float64 [count]; NaN for one without pictures.

    numbers: each picture's class or group, int64 [N], -1 for none; correct: bool [N].
    """
    known = numbers >= 0
    total = np.bincount(numbers[known], minlength=count).astype(float)
    right = np.bincount(numbers[known & correct], minlength=count)
    return np.divide(100 * right, total, out=np.full(count, np.nan), where=total > 0)


def _percent(right: int, total: int) -> float:
    return float(100 * right / total)
