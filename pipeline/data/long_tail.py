"""Long-tailed selections of balanced data."""

import numpy as np

from pipeline.errors import InputError


def exponential_counts(largest: int, classes: int, imbalance_factor: float) -> np.ndarray:
    """Pictures to keep of each class, int64 [classes]: int(largest * (1 / imbalance_factor) ** (i / (classes - 1))).

    This is LDAM's formula (Cao et al. 2019), rounded down as in its public code. Raises InputError if a class gets no picture.
    """
    shares = [(1 / imbalance_factor) ** (i / max(classes - 1, 1)) for i in range(classes)]
    counts = np.array([int(largest * share) for share in shares], np.int64)
    if imbalance_factor <= largest:
        counts = np.maximum(counts, 1)  # 49 * (1 / 49) is less than 1
    if counts.min() < 1:
        raise InputError(
            f"imbalance_factor {imbalance_factor:g} leaves the smallest class without a picture; "
            f"the largest has {largest}, so at most {largest} is allowed"
        )
    return counts


def select(labels: np.ndarray, counts: np.ndarray, seed: int) -> np.ndarray:
    """Sorted positions, int64, of `counts[c]` pictures of each class c, drawn as LDAM's public code does.

    One legacy NumPy generator shuffles the positions of class 0, 1, ... in turn, and the first ones are kept. So a smaller
    count keeps a part of a larger count's pictures. Raises InputError if a class has too few.
    """
    random = np.random.RandomState(seed)
    kept = []
    for label, count in enumerate(counts):
        positions = np.flatnonzero(labels == label)
        if count > len(positions):
            raise InputError(f"class {label} has {len(positions)} training pictures, fewer than the {count} asked")
        random.shuffle(positions)
        kept.append(positions[:count])
    return np.sort(np.concatenate(kept))
