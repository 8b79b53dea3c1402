"""The plan of a pool: what is asked, in which order, and seeds that depend on nothing but the row."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.artifacts.shards import rows_of
from pipeline.data.classes import cells_of, part_of
from pipeline.data.long_tail import exponential_counts
from pipeline.errors import InputError
from pipeline.generators.plan import Plan, row_seeds

CIFAR100 = exponential_counts(500, 100, 100)
SETTINGS = {
    "fill_to": "max",
    "per_class": None,
    "fill_range": (0, 1),
    "surplus": 0,
    "classes": None,
    "shots": ("many", "medium", "few"),
    "seed": 0,
}
COUNTS = st.lists(st.integers(0, 150), min_size=1, max_size=12).map(np.array)


def classes(counts):
    return pd.DataFrame({"class": np.arange(len(counts)), "train": counts})


def test_only_pictures_of_some_classes_are_those_of_all():
    cells = classes(np.array([5, 9, 2, 1])).assign(class_name=["ant", "bee", "cat", "bee"])
    found = [Plan(SETTINGS | {"classes": names}, cells) for names in (None, ["bee", "cat"])]
    every, some = (plan.rows(0, len(plan)) for plan in found)
    assert found[1].per_class.tolist() == [0, 0, 7, 8]
    pd.testing.assert_frame_equal(every[every["class_name"] != "ant"].reset_index(drop=True), some)
    with pytest.raises(
        InputError,
        match="asks for the class 'bees', but the data set has no such class; correct classes, for example to 'bee'",
    ):
        Plan(SETTINGS | {"classes": ["bees"]}, cells)


def planned(counts, **changed):
    plan = Plan({**SETTINGS, **changed}, classes(counts))
    return plan.rows(0, len(plan))


def per_class(rows, classes):
    return np.bincount(rows["class"], minlength=classes).tolist()


def test_filling_cifar100_takes_39153_pictures():
    rows = planned(CIFAR100)
    assert len(rows) == 39_153
    assert (np.bincount(rows["class"], minlength=100) + CIFAR100 == 500).all()


def test_columns_and_their_types():
    assert planned(CIFAR100).dtypes.astype(str).to_dict() == {"class": "int32", "index": "int32", "seed": "int64"}


def test_fill_to_a_number_asks_nothing_of_larger_classes():
    assert per_class(planned(np.array([100, 50, 49, 0]), fill_to=50), 4) == [0, 0, 1, 50]


def test_per_class_asks_the_same_of_every_class():
    rows = planned(np.array([100, 1, 0]), fill_to=None, per_class=7)
    assert per_class(rows, 3) == [7, 7, 7]


@pytest.mark.parametrize("shots, expected", [(("few",), [0, 0, 0, 0, 131]), (("medium", "few"), [0, 0, 50, 130, 131])])
def test_only_classes_of_the_asked_shots_are_filled(shots, expected):
    assert per_class(planned(np.array([150, 101, 100, 20, 19]), shots=shots), 5) == expected


def test_nothing_to_fill_is_an_empty_plan():
    rows = planned(np.array([5, 5]))
    assert len(rows) == 0 and list(rows) == ["class", "index", "seed"]


@given(COUNTS, st.integers(0, 9))
def test_rows_are_ordered_and_indices_count_from_zero(counts, seed):
    rows = planned(counts, seed=seed)
    assert rows["class"].is_monotonic_increasing
    for label, group in rows.groupby("class"):
        assert group["index"].tolist() == list(range(counts.max() - counts[label]))


@given(COUNTS, st.integers(1, 200), st.integers(0, 200))
def test_a_smaller_pool_is_a_prefix_of_a_larger_in_every_class(counts, smaller, more):
    rows, larger = (planned(counts, fill_to=size) for size in (smaller, smaller + more))
    for label in range(len(counts)):
        few, many = rows[rows["class"] == label], larger[larger["class"] == label]
        assert few.to_numpy().tolist() == many.to_numpy()[: len(few)].tolist()


@given(COUNTS, st.lists(st.floats(0.001, 0.999), unique=True, max_size=4).map(sorted))
def test_pieces_of_a_range_are_the_whole(counts, cuts):
    whole, edges = planned(counts), [0, *cuts, 1]
    pieces = [planned(counts, fill_range=pair) for pair in pairwise(edges)]
    together = [row for piece in pieces for row in piece.itertuples(index=False, name=None)]
    assert sorted(together) == list(whole.itertuples(index=False, name=None))


@given(COUNTS, st.sampled_from([(0, 1), (0.3, 0.8)]), st.integers(0, 1800), st.integers(0, 1800))
def test_any_rows_alone_are_those_of_the_whole(counts, fill_range, start, size):
    plan = Plan({**SETTINGS, "fill_range": fill_range}, classes(counts))
    rows = plan.rows(start, start + size)
    expected = planned(counts, fill_range=fill_range)[start : start + size]
    pd.testing.assert_frame_equal(rows, expected.reset_index(drop=True))
    assert plan.per_class.sum() == len(plan)


@pytest.mark.parametrize("half, expected", [((0, 0.5), [0, 1, 2]), ((0.5, 1), [3, 4, 5, 6])])
def test_ranges_round_down(half, expected):
    assert planned(np.array([0]), fill_to=7, fill_range=half)["index"].tolist() == expected


@given(COUNTS, st.sampled_from([0.07, 0.3, 1.0, 2.5]), st.integers(0, 900), st.integers(0, 900))
def test_a_surplus_adds_rows_after_those_asked_and_changes_none(counts, share, start, size):
    rows, asked = planned(counts, surplus=share), planned(counts)
    pd.testing.assert_frame_equal(rows[~rows["surplus"]].drop(columns="surplus").reset_index(drop=True), asked)
    hundredths = round(100 * share)
    more = [-(-hundredths * number // 100) for number in per_class(asked, len(counts))]  # rounded up, in whole numbers
    assert per_class(rows[rows["surplus"]], len(counts)) == more
    for _, group in rows.groupby("class"):
        assert group["index"].tolist() == list(range(len(group))) and group["surplus"].is_monotonic_increasing
    plan = Plan({**SETTINGS, "surplus": share}, classes(counts))
    assert plan.per_class.tolist() == per_class(rows, len(counts))
    pd.testing.assert_frame_equal(plan.rows(start, start + size), rows[start : start + size].reset_index(drop=True))


THIRDS = (0, 0.33), (0.33, 0.67), (0.67, 1)


def test_thirds_of_a_pool_share_its_seeds():
    whole = planned(CIFAR100).set_index(["class", "index"])["seed"]
    pieces = [planned(CIFAR100, fill_range=pair) for pair in THIRDS]
    seeds = [piece.set_index(["class", "index"])["seed"] for piece in pieces]
    assert sum(map(len, seeds)) == len(whole)
    assert all(len(piece) > 12_000 and (whole[piece.index] == piece).all() for piece in seeds)


@given(COUNTS, st.sampled_from([0.07, 0.3, 1.0, 2.5]), st.integers(0, 900), st.integers(0, 900))
def test_thirds_of_a_pool_share_its_surplus(counts, share, start, size):
    whole = planned(counts, surplus=share)
    pieces = [planned(counts, surplus=share, fill_range=pair) for pair in THIRDS]
    order = ["class", "index"]
    together = pd.concat(pieces).sort_values(order).reset_index(drop=True)
    pd.testing.assert_frame_equal(together, whole.sort_values(order).reset_index(drop=True))
    plan = Plan({**SETTINGS, "surplus": share, "fill_range": THIRDS[1]}, classes(counts))
    pd.testing.assert_frame_equal(
        plan.rows(start, start + size), pieces[1][start : start + size].reset_index(drop=True)
    )


@given(st.integers(0, 10_000), st.integers(1, 200))
def test_shards_split_a_plan_evenly_and_in_order(rows, shards):
    parts = [rows_of(rows, shard, shards) for shard in range(shards)]
    assert [row for part in parts for row in part] == list(range(rows))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_seeds_are_unique_in_a_million_rows_and_not_negative():
    seeds = planned(np.zeros(1000, int), fill_to=1000)["seed"]
    assert len(seeds) == 1_000_000 and seeds.is_unique and seeds.min() >= 0


def test_seeds_of_different_pools_do_not_meet():
    pools = [planned(np.zeros(100, int), fill_to=100, seed=seed)["seed"] for seed in range(20)]
    assert len(set(np.concatenate(pools))) == 20 * 10_000


def test_bits_of_seeds_are_balanced():
    seeds = planned(CIFAR100)["seed"].to_numpy()
    shares = [((seeds >> bit) & 1).mean() for bit in range(63)]
    assert min(shares) > 0.48 and max(shares) < 0.52


@given(st.integers(0, 2**32), st.integers(0, 2**31 - 1), st.integers(0, 2**31 - 1))
def test_a_rows_seed_depends_on_pool_class_and_index_alone(pool, label, index):
    alone = row_seeds(pool, np.array([label]), np.array([index]))
    among = row_seeds(pool, np.array([3, label, 0], np.int32), np.array([9, index, 1], np.int32))
    assert alone[0] == among[1]
    others = [
        row_seeds(pool + 1, np.array([label]), np.array([index])),
        row_seeds(pool, np.array([label + 1]), np.array([index])),
        row_seeds(pool, np.array([label]), np.array([index + 1])),
    ]
    assert len({int(alone[0]), *(int(other[0]) for other in others)}) == 4


def test_seeds_stay_what_they_are():
    """Pools on disk hang on this: another mixing would give every row another picture under its old name."""
    seeds = row_seeds(0, np.array([0, 0, 1]), np.array([0, 1, 0]))
    assert seeds.tolist() == [splitmix(0, 0, 0), splitmix(0, 0, 1), splitmix(0, 1, 0)]


# Cells: groups of classes


CELLS = pd.DataFrame({"class": [0, 0, 1, 1, 1, 3], "group": ["dim", "rock", "dim", "grass", "rock", "dim"]})
CELL_COUNTS = np.array([5, 2, 4, 0, 6, 1])


def planned_cells(counts=CELL_COUNTS, cells=CELLS, **changed):
    plan = Plan({**SETTINGS, **changed}, cells.assign(train=counts))
    return plan.rows(0, len(plan))


def test_cells_are_filled_to_the_largest_each_with_indices_of_its_own():
    rows = planned_cells()
    assert rows.dtypes.drop("group").astype(str).to_dict() == {"class": "int32", "index": "int32", "seed": "int64"}
    assert list(rows) == ["class", "group", "index", "seed"]
    found = {cell: group["index"].tolist() for cell, group in rows.groupby(["class", "group"], sort=False)}
    wanted = zip(CELLS.itertuples(index=False, name=None), 6 - CELL_COUNTS, strict=True)
    assert found == {cell: list(range(count)) for cell, count in wanted if count}
    assert list(found) == sorted(found) and rows["seed"].is_unique


def test_pictures_are_counted_by_cell_and_by_class():
    plan = Plan(SETTINGS, CELLS.assign(train=CELL_COUNTS))
    assert plan.per_cell.tolist() == [1, 4, 2, 6, 0, 5] and plan.per_class.tolist() == [5, 8, 0, 5]
    assert {plan.per_cell.dtype, plan.per_class.dtype} == {np.dtype(np.int64)}
    by_class = Plan(SETTINGS, classes([7, 10, 0]))
    assert by_class.per_cell.tolist() == by_class.per_class.tolist() == [3, 0, 10]


def test_a_cells_rows_do_not_depend_on_other_groups_or_classes():
    whole = planned_cells(fill_to=6).set_index(["class", "group", "index"])["seed"]
    for kept in ([1], [4, 1, 3], [0, 5]):
        cells = CELLS.iloc[kept]
        some = planned_cells(CELL_COUNTS[kept], cells, fill_to=6).set_index(["class", "group", "index"])["seed"]
        assert (whole[some.index] == some).all() and len(some) == (6 - CELL_COUNTS[kept]).sum()


MANIFEST = pd.DataFrame(
    [("a", 0, "train", "rock"), ("a", 0, "train", "rock"), ("a", 0, "val", "dim"), ("b", 1, "train", "dim")],
    columns=["class_name", "class", "split", "context"],
).assign(group=lambda table: table["class_name"] + ", " + table["context"])


def test_a_plan_of_groups_is_made_of_a_manifest():
    plan = Plan(SETTINGS, cells_of(MANIFEST, "group"))
    rows = plan.rows(0, len(plan))
    assert list(rows) == ["class", "class_name", "group", "context", "index", "seed"]
    assert rows[["class_name", "context", "index"]].to_numpy().tolist() == [
        ["a", "dim", 0],
        ["a", "dim", 1],
        ["b", "dim", 0],
    ]


def test_cells_need_groups_of_every_class():
    with pytest.raises(InputError, match="the data set has none; set cells: class"):
        cells_of(MANIFEST.drop(columns=["group", "context"]), "group")
    with pytest.raises(InputError, match="no picture of the class 'b' has one; set cells: class"):
        cells_of(MANIFEST.assign(group=["a", "a", None, None]), "group")


def test_seeds_of_groups_stay_what_they_are():
    """The group's name goes in as the first 8 bytes of BLAKE2b, between class and index."""
    rows = planned_cells(np.array([0]), pd.DataFrame({"class": [2], "group": ["höhle"]}), fill_to=2, seed=7)
    name = 11707428107826278003
    assert rows["seed"].tolist() == [splitmix(7, 2, name, 0), splitmix(7, 2, name, 1)]


def splitmix(*values):
    """The finaliser of SplitMix64 over the values in turn, with Python's integers."""
    mask, state = 2**64 - 1, 0
    for value in values:
        state = (state * 0x9E3779B97F4A7C15 + value + 0x9E3779B97F4A7C15) & mask
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & mask
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & mask
        state ^= state >> 31
    return state >> 1


@given(st.integers(1, 100), st.integers(0, 5000))
def test_hundredths_of_a_pool_are_whole_numbers_where_they_should_be(share, hundreds):
    """0.29 * 100 is a little under 29."""
    (found,) = part_of(np.array([100 * hundreds]), [share / 100])
    assert found.tolist() == [share * hundreds]
