"""Selection: the pictures of a pool that a filter uses.

Of each class, or of each cell if the pool fills groups, these are the pictures that meet the filter's conditions, up to the number
asked: the pool's own first, then those of its surplus, or those with the highest of a score. If too few do, `top_up` takes the best of
the others (He et al. 2023, as SAU's filter).
"""

import operator
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from pipeline.data.classes import lacking, part_of

COMPARE = {">=": operator.ge, "<=": operator.le, ">": operator.gt, "<": operator.lt}


def asked(planned: np.ndarray, settings: Mapping[str, Any], real: np.ndarray) -> np.ndarray:
    """Number of pictures asked of each cell, int64 [cells].

    That is the pool's own number, `planned`, or what the cell's real training pictures, `real`, lack to
    settings["fill_to"], if that is given; and at most settings["first"].
    """
    most = planned if settings["fill_to"] is None else lacking(real, settings["fill_to"])
    return np.minimum(most, settings["first"]) if settings["first"] else most


def in_range(pool: pd.DataFrame, fill_range: tuple[float, float]) -> np.ndarray:
    """Whether each row of a pool is in a part [a, b] of it, bool [N].

    Of the n pictures of a cell, in the order of the plan, these are numbers floor(a n) to floor(b n), and the same of its surplus. So a
    pool with that `fill_range` has the same ones. pool: cell (int), surplus (bool).
    """
    kind = pool.groupby(["cell", "surplus"])["cell"]
    place, count = kind.cumcount().to_numpy(), kind.transform("size").to_numpy()
    low, high = part_of(count, fill_range)
    return (low <= place) & (place < high)


def select(pool: pd.DataFrame, settings: Mapping[str, Any], most: np.ndarray) -> pd.DataFrame:
    """Whether each row of a pool, in the order of the plan, is a survivor and is kept: columns `survives` and `kept`, bool.

    pool: cell (int), surplus (bool), and the scores of the conditions. settings: `keep`, a list of conditions [score, comparison,
    threshold] that a survivor meets, all of them; `top_up`, the score of a condition, by which the best rejected pictures take the
    places that survivors leave, or None; `highest`, the score by which survivors have their turn, or None. most: largest number of
    kept pictures of each cell, int [cells].
    """
    cell, surplus = pool["cell"].to_numpy(), pool["surplus"].to_numpy()
    survives = np.full(len(pool), True)
    for score, comparison, threshold in settings["keep"]:
        survives &= COMPARE[comparison](pool[score].to_numpy(), threshold)
    highest = settings["highest"]
    turn = np.where(survives, surplus if highest is None else False, 2)
    among = np.zeros(len(pool)) if highest is None else -pool[highest].to_numpy(np.float64)
    # the sort is stable: equal pictures stay in the plan's order; scores that are not numbers come last
    order = np.lexsort((np.where(survives, among, _badness(pool, settings)), turn, cell))
    place = np.empty(len(pool), np.int64)
    place[order] = pd.Series(order).groupby(cell[order]).cumcount()
    kept = (place < most[cell]) & (survives | (settings["top_up"] is not None))
    return pd.DataFrame({"survives": survives, "kept": kept})


def summary(pool: pd.DataFrame, selected: pd.DataFrame, most: np.ndarray, cells: pd.DataFrame) -> dict[str, Any]:
    """Numbers of pictures in total and per cell (`classes`, whose rows have `group` if cells are groups), and the cells without any.

    generated; `asked` of the cell; `survivors`; `kept`, and of these `from_surplus` and `topped_up`; `short`, those asked
    that are not kept. pool and `most`, which are asked: as `select` gets them; selected: what it gives; cells: class,
    class_name and perhaps group of each.
    """
    survives, kept, surplus = selected["survives"], selected["kept"], pool["surplus"].to_numpy()
    counted = {
        "generated": np.full(len(pool), True),
        "survivors": survives,
        "kept": kept,
        "from_surplus": kept & surplus,
        "topped_up": kept & ~survives,
    }
    cell = pool["cell"].to_numpy()
    classes = pd.DataFrame({name: np.bincount(cell[rows], minlength=len(most)) for name, rows in counted.items()})
    classes.insert(1, "asked", most)
    classes["short"] = classes["asked"] - classes["kept"]
    classes = classes[(classes["generated"] > 0) | (classes["asked"] > 0)]
    # by number, because two of ImageNet's classes are both called "missile"
    about = cells[[name for name in ("class", "class_name", "group") if name in cells]].to_dict("index")
    rows = [about[number] | row for number, row in classes.to_dict("index").items()]
    return {
        **{name: int(total) for name, total in classes.sum().items()},
        "empty_classes": [name_of(row) for row in rows if row["asked"] and not row["kept"]],
        "classes": rows,
    }


def name_of(row: Mapping[str, Any]) -> str:
    """The name of a row's cell."""
    return row.get("group", row["class_name"])


def _badness(pool: pd.DataFrame, settings: Mapping[str, Any]) -> np.ndarray:
    """The order of rejected rows, the best one lowest, float64 [N]."""
    if settings["top_up"] is None:
        return np.zeros(len(pool))
    (comparison,) = (how for score, how, _ in settings["keep"] if score == settings["top_up"])
    score = pool[settings["top_up"]].to_numpy(np.float64)
    return -score if comparison in (">", ">=") else score
