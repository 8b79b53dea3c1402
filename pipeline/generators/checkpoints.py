"""The state of a class's training that each row of a plan is drawn with."""

from typing import Literal

import numpy as np
import pandas as pd

from pipeline.errors import InputError


class Checkpoints:
    """The states that a generator kept of each class: rows with class and step. asked: "all", the "last" ones, or those of a step."""

    def __init__(self, kept: pd.DataFrame, asked: Literal["all", "last"] | int):
        kept = kept.sort_values(["class", "step"], ignore_index=True)
        if asked == "last":
            kept = kept.groupby("class", as_index=False).last()
        elif asked != "all":
            kept = kept[kept["step"] == asked]
        self._steps, self._asked = kept["step"].to_numpy("int32"), asked
        self._counts = np.bincount(kept["class"]) if len(kept) else np.zeros(1, np.int64)
        self._starts = np.cumsum(self._counts) - self._counts

    def require(self, wanted: np.ndarray, names: np.ndarray) -> None:
        """Raise InputError if a class has no such state, but pictures are `wanted`, int64 [C]. `names`: object [C]."""
        counts = np.pad(self._counts, (0, max(0, len(wanted) - len(self._counts))))[: len(wanted)]
        lacking = names[(counts == 0) & (wanted > 0)]
        if len(lacking):
            what = "nothing was kept" if isinstance(self._asked, str) else f"nothing was kept after step {self._asked}"
            more = f" and for {len(lacking) - 1} more classes" if lacking[1:].size else ""
            raise InputError(
                f"{what} for {lacking[0]}{more}; correct the draw's checkpoints, or train the generator for longer"
            )

    def of(self, classes: np.ndarray, indices: np.ndarray) -> np.ndarray:
        """Steps of the rows' states, int32 [N]: those of a class take turns, by the picture's index within it."""
        return self._steps[self._starts[classes] + indices % self._counts[classes]]
