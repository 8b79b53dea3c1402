"""Which pictures a filter uses: survivors up to the number asked, then those of the surplus, then the best of the rejected."""

import operator

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.generators.plan import Plan
from pipeline.scores.selection import asked, in_range, select, summary

NAN = float("nan")
KEEP = [["clip", ">", 0.5]]
ROWS = [  # class, surplus, clip
    (0, False, 0.9),
    (0, False, 0.1),
    (0, False, 0.8),
    (0, True, 0.7),
    (0, True, 0.6),
    (1, False, 0.2),
    (1, False, 0.3),
    (1, False, 0.9),
    (1, True, 0.4),
    (2, False, 0.5),
    (2, True, NAN),
]
"""3, 3 and 1 asked of classes 0 to 2; 4, 1 and 0 survive `KEEP`."""


def pool_of(rows):
    return pd.DataFrame(rows, columns=["cell", "surplus", "clip"]).astype({"cell": np.int64, "surplus": bool})


def cells(*names):
    return pd.DataFrame({"class": np.arange(len(names)), "class_name": names})


def kept(keep=(), first=None, top_up=None, fill_to=None, highest=None, real=(4, 2, 1)):
    pool, settings = (
        pool_of(ROWS),
        {"keep": list(keep), "first": first, "fill_to": fill_to, "top_up": top_up, "highest": highest},
    )
    most = asked(np.array([3, 3, 1]), settings, np.array(real))
    selected = select(pool, settings, most)
    return np.flatnonzero(selected["kept"]).tolist(), summary(pool, selected, most, cells("ant", "bee", "cat"))


def test_the_surplus_takes_the_places_of_rejected_pictures_and_no_more():
    rows, told = kept(KEEP)
    assert rows == [0, 2, 3, 7]
    assert told["classes"] == [
        {"class": 0, "class_name": "ant", "generated": 5, "asked": 3, "survivors": 4, "kept": 3, "from_surplus": 1,
         "topped_up": 0, "short": 0},
        {"class": 1, "class_name": "bee", "generated": 4, "asked": 3, "survivors": 1, "kept": 1, "from_surplus": 0,
         "topped_up": 0, "short": 2},
        {"class": 2, "class_name": "cat", "generated": 2, "asked": 1, "survivors": 0, "kept": 0, "from_surplus": 0,
         "topped_up": 0, "short": 1},
    ]  # fmt: skip
    assert {key: told[key] for key in ("generated", "asked", "survivors", "kept", "short", "empty_classes")} == {
        "generated": 11, "asked": 7, "survivors": 5, "kept": 4, "short": 3, "empty_classes": ["cat"]
    }  # fmt: skip


def test_the_best_rejected_pictures_fill_up_whether_of_the_surplus_or_not():
    rows, told = kept(KEEP, top_up="clip")
    assert rows == [0, 2, 3, 6, 7, 8, 9]  # 0.4 of the surplus and 0.3, not 0.2; 0.5, not what is no number
    assert (told["short"], told["topped_up"], told["from_surplus"]) == (0, 3, 2)
    assert kept([["clip", "<", 0.15]], top_up="clip")[0] == [1, 3, 4, 5, 6, 8, 9]  # the best are the lowest


def test_without_conditions_the_surplus_stays_out():
    rows, told = kept()
    assert rows == [row for row, (_, surplus, _) in enumerate(ROWS) if not surplus]
    assert (told["kept"], told["asked"], told["short"], told["from_surplus"]) == (7, 7, 0, 0)


def test_the_highest_of_a_score_are_taken_whether_of_the_surplus_or_not():
    rows, told = kept(highest="clip")
    assert rows == [0, 2, 3, 6, 7, 8, 9]
    assert (told["short"], told["topped_up"], told["from_surplus"]) == (0, 0, 2)
    assert kept([["clip", "<=", 0.5]], highest="clip")[0] == [1, 5, 6, 8, 9]  # of those that meet the condition


def test_first_is_another_upper_limit():
    assert kept(KEEP, first=2)[0] == [0, 2, 7]
    assert kept(KEEP, first=2, top_up="clip")[0] == [0, 2, 7, 8, 9]
    assert kept(KEEP, first=99)[0] == kept(KEEP)[0]


def test_filling_asks_for_what_the_real_pictures_lack():
    """Then the number asked of the pool does not count: the surplus is there to be used."""
    assert [row["asked"] for row in kept(fill_to=6)[1]["classes"]] == [2, 4, 5]
    assert kept(fill_to=6)[0] == [0, 1, 5, 6, 7, 8, 9, 10]
    rows, told = kept(KEEP, fill_to="max")
    assert rows == [7] and [row["asked"] for row in told["classes"]] == [0, 2, 3]
    assert told["empty_classes"] == ["cat"]  # not the class that is full
    assert kept(KEEP, fill_to=6, first=1)[0] == [0, 7]


MEETS = {">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le}
SCORES = st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0, NAN])
POOLS = st.lists(
    st.lists(st.tuples(st.booleans(), SCORES), max_size=9).map(lambda rows: sorted(rows, key=lambda row: row[0])),
    min_size=1,
    max_size=4,
).map(lambda classes: [(label, *row) for label, rows in enumerate(classes) for row in rows])


def test_groups_are_told_by_their_own_names():
    pool = pool_of([(0, False, 0.5), (1, False, 0.1), (1, False, 0.7)])
    groups = pd.DataFrame({"class": [0, 0], "class_name": "ant", "group": ["ant, dim", "ant, rock"], "train": [3, 2]})
    most = asked(np.array([1, 2]), {"first": None, "fill_to": 3}, groups["train"].to_numpy())
    assert most.tolist() == [0, 1]
    selected = select(pool, {"keep": [["clip", ">", 0.9]], "top_up": None, "highest": None}, most)
    told = summary(pool, selected, most, groups)
    assert [(row["class"], row["group"], row["asked"]) for row in told["classes"]] == [
        (0, "ant, dim", 0),
        (0, "ant, rock", 1),
    ]
    assert told["empty_classes"] == ["ant, rock"]


@given(
    rows=POOLS,
    comparison=st.sampled_from([">", ">=", "<", "<="]),
    threshold=st.sampled_from([0.25, 0.5]),
    first=st.none() | st.integers(1, 5),
    top_up=st.booleans(),
    highest=st.booleans(),
)
def test_against_a_loop_over_classes(rows, comparison, threshold, first, top_up, highest):
    pool = pool_of(rows)
    settings = {"keep": [["clip", comparison, threshold]], "top_up": "clip" if top_up else None}
    settings["highest"] = "clip" if highest else None
    planned = np.bincount([label for label, surplus, _ in rows if not surplus], minlength=4)
    most = asked(planned, {"first": first, "fill_to": None}, np.zeros(4, int))
    expected = []
    for label in {row[0] for row in rows}:
        mine = [(place, *row[1:]) for place, row in enumerate(rows) if row[0] == label]
        wanted = sum(not surplus for _, surplus, _ in mine)
        wanted = wanted if first is None else min(wanted, first)
        passing = [place for place, _, clip in mine if MEETS[comparison](clip, threshold)]
        if highest:
            passing.sort(key=lambda place: -rows[place][2])
        rejected = [(place, clip) for place, _, clip in mine if place not in passing]
        worst_last = sorted(
            rejected,
            key=lambda row: (np.isnan(row[1]), 0 if np.isnan(row[1]) else -row[1] if ">" in comparison else row[1]),
        )
        chosen = passing + ([place for place, _ in worst_last] if top_up else [])
        expected += chosen[:wanted]
    selected = select(pool, settings, most)
    assert np.flatnonzero(selected["kept"]).tolist() == sorted(expected)
    told = summary(pool, selected, most, cells(*"abcd"))
    assert told["kept"] == len(expected) and told["kept"] + told["short"] == told["asked"]
    assert not (top_up and told["short"])


@given(
    st.lists(st.integers(0, 40), min_size=1, max_size=4),
    st.sampled_from([0.0, 0.5, 3.0]),
    st.lists(st.floats(0, 1), min_size=2, max_size=2, unique=True).map(sorted),
)
def test_a_part_of_a_pool_is_the_pool_of_that_part(counts, surplus, part):
    classes = cells(*"abcd"[: len(counts)]).assign(train=counts)
    settings = {"fill_to": 50, "per_class": None, "surplus": surplus, "classes": None, "seed": 0}
    settings |= {"shots": ("many", "medium", "few")}

    def pool(fill_range):
        plan = Plan(settings | {"fill_range": fill_range}, classes)
        return plan.rows(0, len(plan))

    whole = pool((0, 1))
    rows = whole.assign(cell=whole["class"], surplus=whole.get("surplus", False))
    assert whole[in_range(rows, part)].reset_index(drop=True).equals(pool(part))


@pytest.mark.parametrize("keep", [[], KEEP])
def test_an_empty_pool_is_an_empty_selection(keep):
    assert in_range(pool_of([]), (0, 0.5)).tolist() == []
    selected = select(pool_of([]), {"keep": keep, "top_up": None, "highest": None}, np.zeros(2, int))
    assert len(selected) == 0
    assert summary(pool_of([]), selected, np.zeros(2, int), cells("ant", "bee"))["classes"] == []
