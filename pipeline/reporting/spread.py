"""An even choice of pictures to show, the same each time."""

import numpy as np
import pandas as pd


def spread(pictures: pd.DataFrame, most: int) -> pd.DataFrame:
    """At most `most` rows of a table, in its order, spread evenly over it.

    If it has a column `group`, each group has equally many of them, as far as it has pictures. Pictures without a group are
    one more group. Of more groups than `most`, as many are chosen evenly by name.
    """
    groups = pd.factorize(pictures["group"], sort=True)[0] if "group" in pictures else np.zeros(len(pictures), int)
    members = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    members = [members[place] for place in _even(len(members), most)]
    chosen, left = [], most
    for done, rows in enumerate(sorted(members, key=len)):  # what small groups lack, the larger ones have
        mine = _even(len(rows), left // (len(members) - done))
        chosen += rows[mine].tolist()
        left -= len(mine)
    return pictures.iloc[sorted(chosen)]


def _even(total: int, most: int) -> np.ndarray:
    """The middles of `most` equal parts of 0..total-1, int64; all positions if there are fewer."""
    count = min(total, most)
    return (2 * np.arange(count) + 1) * total // (2 * count) if count else np.arange(0)
