"""Many-, medium- and few-shot classes: published groups, and both boundaries."""

import numpy as np
import pytest

from pipeline.data.long_tail import exponential_counts
from pipeline.data.shots import RANGES, shots


@pytest.mark.parametrize("factor, expected", [(10, "69/31/0"), (50, "41/41/18"), (100, "35/35/30"), (200, "30/31/39")])
def test_shots_of_cifar100(factor, expected):
    groups = shots(exponential_counts(500, 100, factor)).tolist()
    assert "/".join(str(groups.count(shot)) for shot in ("many", "medium", "few")) == expected


def test_few_has_a_class_more_where_twenty_counts_as_few():
    counts = exponential_counts(500, 100, 100)
    assert (shots(counts) == "few").sum() == 30
    assert (shots(counts, few_includes_20=True) == "few").sum() == 31
    assert (shots(counts, few_includes_20=True) == "many").sum() == 35


def test_shots_at_their_boundaries():
    counts = np.array([0, 19, 20, 21, 100, 101])
    assert shots(counts).tolist() == ["few", "few", "medium", "medium", "medium", "many"]
    assert shots(counts, few_includes_20=True).tolist() == ["few", "few", "few", "medium", "medium", "many"]


def test_ranges_say_the_boundaries():
    assert RANGES == {"many": "over 100", "medium": "20 to 100", "few": "under 20"}
