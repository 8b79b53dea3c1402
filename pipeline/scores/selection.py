"""Selection: the pictures of a pool that a filter uses.

Of each class, these are the pictures that meet the filter's conditions, up to the number asked of the pool: its own first, then
those of its surplus. If too few do, `top_up` takes the best of the others (He et al. 2023, as SAU's filter).
"""

import operator
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

COMPARE = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt}


def select(pool: pd.DataFrame, settings: Mapping[str, Any]) -> pd.DataFrame:
    """Whether each row of a pool, in the order of the plan, is a survivor and is kept: columns `survives` and `kept`, bool.

    pool: class (int), surplus (bool), and the scores of the conditions. settings: `keep`, a list of conditions [score,
    comparison, threshold] that a survivor meets, all of them; `first`, the largest number of kept pictures per class, or
    None; `top_up`, the score of a condition, by which the best rejected pictures take the places that survivors leave, or
    None.
    """
    labels, surplus = pool["class"].to_numpy(), pool["surplus"].to_numpy()
    survives = np.full(len(pool), True)
    for score, comparison, threshold in settings["keep"]:
        survives &= COMPARE[comparison](pool[score].to_numpy(), threshold)
    turn = np.where(survives, surplus, 2)
    # the sort is stable: survivors stay in the plan's order; scores that are not numbers come last
    order = np.lexsort((np.where(survives, 0.0, _badness(pool, settings)), turn, labels))
    place = np.empty(len(pool), np.int64)
    place[order] = pd.Series(order).groupby(labels[order]).cumcount()
    most = _asked(pool, settings["first"])[labels]
    kept = (place < most) & (survives | (settings["top_up"] is not None))
    return pd.DataFrame({"survives": survives, "kept": kept})


def summary(
    pool: pd.DataFrame, selected: pd.DataFrame, names: Mapping[int, str], settings: Mapping[str, Any]
) -> dict[str, Any]:
    """Numbers of pictures in total and per class, and the classes with none kept.

    generated; `asked` of the class; `survivors`; `kept`, and of these `from_surplus` and `topped_up`; `short`, those asked
    that are not kept. pool, settings: as `select` gets them; selected: what it gives. names: class -> its name.
    """
    survives, kept, surplus = selected["survives"], selected["kept"], pool["surplus"].to_numpy()
    counted = {
        "generated": np.full(len(pool), True),
        "survivors": survives,
        "kept": kept,
        "from_surplus": kept & surplus,
        "topped_up": kept & ~survives,
    }
    labels = pool["class"].to_numpy()
    found = {name: np.bincount(labels[rows], minlength=1) for name, rows in counted.items()}
    classes = pd.DataFrame({name: pd.Series(numbers) for name, numbers in found.items()}).fillna(0).astype(int)
    classes.insert(1, "asked", _asked(pool, settings["first"]))
    classes["short"] = classes["asked"] - classes["kept"]
    classes = classes[classes["generated"] > 0]
    # by number, because two of ImageNet's classes are both called "missile"
    rows = [{"class": label, "class_name": names[label]} | row for label, row in classes.to_dict("index").items()]
    return {
        **{name: int(total) for name, total in classes.sum().items()},
        "empty_classes": [row["class_name"] for row in rows if not row["kept"]],
        "classes": rows,
    }


def _asked(pool: pd.DataFrame, first: int | None) -> np.ndarray:
    """Number of pictures asked of each class, without the surplus and at most `first`, int64 [C]."""
    labels = pool["class"].to_numpy()
    asked = np.bincount(labels[~pool["surplus"].to_numpy()], minlength=labels.max(initial=0) + 1)
    return np.minimum(asked, first) if first else asked


def _badness(pool: pd.DataFrame, settings: Mapping[str, Any]) -> np.ndarray:
    """The order of rejected rows, the best one lowest, float64 [N]."""
    if settings["top_up"] is None:
        return np.zeros(len(pool))
    (comparison,) = (how for score, how, _ in settings["keep"] if score == settings["top_up"])
    score = pool[settings["top_up"]].to_numpy(np.float64)
    return -score if comparison in (">", ">=") else score
