"""The states of a generator that a plan's rows name."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import InputError
from pipeline.generators.checkpoints import Checkpoints

KEPT = pd.DataFrame({"class": [2, 0, 0, 2, 0], "step": [100, 100, 300, 150, 200]})
NAMES = np.array(["ant", "bee", "cat"], object)


def test_pictures_of_a_class_take_turns():
    found = Checkpoints(KEPT, "all").of(np.array([0, 0, 0, 0, 2, 2, 2]), np.array([0, 1, 2, 3, 0, 1, 5]))
    assert found.tolist() == [100, 200, 300, 100, 100, 150, 150]
    assert found.dtype == np.int32


def test_one_state_of_each_class():
    rows = np.array([0, 0, 2]), np.array([0, 7, 3])
    assert Checkpoints(KEPT, "last").of(*rows).tolist() == [300, 300, 150]
    assert Checkpoints(KEPT, 100).of(*rows).tolist() == [100, 100, 100]


@pytest.mark.parametrize(
    "asked, wanted, message",
    [
        ("all", [1, 2, 3], "nothing was kept for bee"),
        ("last", [0, 1, 0], "nothing was kept for bee"),
        (200, [1, 1, 1], "nothing was kept after step 200 for bee and for 1 more classes"),
        (7, [1, 0, 1], "nothing was kept after step 7 for ant and for 1 more classes"),
    ],
)
def test_a_class_without_a_state_is_named(asked, wanted, message):
    with pytest.raises(InputError, match=message):
        Checkpoints(KEPT, asked).require(np.array(wanted), NAMES)


def test_classes_without_pictures_need_no_state():
    Checkpoints(KEPT, "all").require(np.array([3, 0, 1]), NAMES)
    Checkpoints(KEPT, 200).require(np.array([3, 0, 0]), NAMES)


@given(st.lists(st.integers(1, 12), min_size=1, max_size=5), st.integers(1, 40))
def test_all_states_are_used_equally_often(numbers, pictures):
    kept = pd.DataFrame([(label, 100 * (n + 1)) for label, number in enumerate(numbers) for n in range(number)])
    checkpoints = Checkpoints(kept.set_axis(["class", "step"], axis=1), "all")
    for label, number in enumerate(numbers):
        steps = checkpoints.of(np.full(pictures, label), np.arange(pictures))
        used = np.bincount(steps // 100 - 1, minlength=number)
        assert used.max() - used.min() <= 1
