"""The classes of each job of a training that goes class by class."""

import heapq

import numpy as np


def classes_of(steps: np.ndarray, shard: int, count: int) -> np.ndarray:
    """The classes of one of `count` shards, int64, in order. steps: of each class, int64 [C]; a class without steps is in none.

    The longest class that is left goes to the shard with the fewest steps, so shards have about as many (Graham 1969).
    """
    loads = [(0, place) for place in range(count)]
    own = []
    for label in np.argsort(-steps, kind="stable").tolist():
        if steps[label]:
            load, place = heapq.heappop(loads)
            heapq.heappush(loads, (load + int(steps[label]), place))
            own += [label] * (place == shard)
    return np.array(sorted(own), np.int64)
