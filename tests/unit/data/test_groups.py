"""Groups of pictures: their numbers, and counts of cells."""

import numpy as np
import pandas as pd
import pytest

from pipeline.data.classes import class_names, counted, counts_of
from pipeline.data.groups import contexts_of, group_names, group_numbers
from pipeline.data.subset import SPLITS

MANIFEST = pd.DataFrame(
    [
        (0, "cat", "train", "rock"),
        (1, "dog", "train", "dim"),
        (0, "cat", "train", None),
        (1, "dog", "test", "water"),
        (0, "cat", "val", "Autumn"),
        (0, "cat", "train", "rock"),
    ],
    columns=["class", "class_name", "split", "group"],
)


def test_groups_are_numbered_by_the_sorted_names_of_all_splits():
    names = group_names(MANIFEST)
    assert names == ["Autumn", "dim", "rock", "water"]
    train = MANIFEST[MANIFEST["split"] == "train"]
    numbers = group_numbers(train, names)
    assert numbers.tolist() == [2, 1, -1, 2] and numbers.dtype == np.int64


@pytest.mark.parametrize("pictures", [MANIFEST.drop(columns="group"), MANIFEST.assign(group=None)])
def test_pictures_without_groups_have_the_number_minus_one(pictures):
    assert group_names(pictures) == []
    for names in ([], ["dim"]):
        numbers = group_numbers(pictures, names)
        assert numbers.tolist() == [-1] * 6 and numbers.dtype == np.int64


def test_a_group_that_the_manifest_does_not_have_has_no_number():
    assert group_numbers(MANIFEST, ["dim", "rock"]).tolist() == [1, 0, -1, -1, -1, 1]
    assert group_numbers(MANIFEST, []).tolist() == [-1] * 6
    assert group_numbers(MANIFEST[:0], ["dim"]).tolist() == []


def test_a_group_that_is_no_class_in_a_context_is_a_context_of_its_own():
    assert contexts_of(MANIFEST).tolist() == [0, 1, 2, 3]
    assert contexts_of(MANIFEST.assign(context=["b", "a", None, "b", "a", "b"])).tolist() == [0, 0, 1, 1]


def test_cells_are_counted_in_each_split():
    cells = counted(MANIFEST, ["class", "group"])
    assert list(cells) == ["class", "group", *SPLITS]
    assert cells.to_numpy().tolist() == [
        [0, "Autumn", 0, 1, 0, 0],
        [0, "rock", 2, 0, 0, 0],
        [1, "dim", 1, 0, 0, 0],
        [1, "water", 0, 0, 1, 0],
    ]


def test_cells_of_classes_have_the_counts_of_the_classes():
    cells, counts = counted(MANIFEST, ["class", "class_name"]), counts_of(MANIFEST)
    assert all(cells[split].tolist() == counts[split].tolist() for split in SPLITS)
    assert cells["class_name"].tolist() == class_names(MANIFEST).tolist()
