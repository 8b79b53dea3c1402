"""Classes are split over jobs by their steps."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipeline.generators.shares import classes_of


def test_the_longest_class_goes_where_the_fewest_steps_are():
    steps = np.array([100, 60, 50, 40, 0, 30])
    assert [classes_of(steps, shard, 2).tolist() for shard in (0, 1)] == [[0, 3], [1, 2, 5]]
    assert classes_of(steps, 0, 1).tolist() == [0, 1, 2, 3, 5]
    assert classes_of(steps[:1], 1, 2).tolist() == []


@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=60), st.integers(1, 9))
def test_each_class_with_steps_is_in_one_shard_and_shards_are_about_equal(steps, count):
    steps = np.array(steps)
    shards = [classes_of(steps, shard, count) for shard in range(count)]
    assert sorted(np.concatenate(shards).tolist()) == np.flatnonzero(steps).tolist()
    loads = [steps[own].sum() for own in shards]
    assert max(loads) - min(loads) <= steps.max()
