"""Selection: pictures of a pool that pass a filter's thresholds, up to a number per class."""

import operator
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

COMPARE = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt}


class Selection:
    """Selects from a pool shard by shard, in the order of the plan, and counts pictures.

    settings: `keep`, a list of conditions [score, comparison, threshold] that a picture must all meet; `first`, the
    largest number of pictures per class, or None.
    """

    def __init__(self, settings: Mapping[str, Any]):
        self._conditions, self._first = settings["keep"], settings["first"]
        self.generated: Counter[int] = Counter()
        self.kept: Counter[int] = Counter()
        self._names: dict[int, str] = {}

    def of(self, pool: pd.DataFrame) -> pd.DataFrame:
        """The kept rows of a shard: a table with class, class_name and the scores."""
        passing = np.full(len(pool), True)
        for score, comparison, threshold in self._conditions:
            passing &= COMPARE[comparison](pool[score].to_numpy(), threshold)
        chosen = pool[passing]
        if self._first:
            place = chosen.groupby("class").cumcount() + chosen["class"].map(lambda label: self.kept[label])
            chosen = chosen[place < self._first]
        # by number, because two of ImageNet's classes are both called "missile"
        self.generated.update(pool["class"].tolist())
        self.kept.update(chosen["class"].tolist())
        self._names.update(zip(pool["class"].tolist(), pool["class_name"].tolist(), strict=True))
        return chosen

    def summary(self) -> dict[str, Any]:
        """Numbers of `generated` and `kept` pictures, in total and per class, and the classes with none kept."""
        classes = [
            {
                "class": label,
                "class_name": self._names[label],
                "generated": self.generated[label],
                "kept": self.kept[label],
            }
            for label in sorted(self.generated)
        ]
        return {
            "generated": self.generated.total(),
            "kept": self.kept.total(),
            "empty_classes": [row["class_name"] for row in classes if not row["kept"]],
            "classes": classes,
        }
