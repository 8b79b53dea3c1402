"""Calls that do not end."""

import time

import pytest

from pipeline.deadline import within


def test_a_call_gives_its_result_or_its_error():
    assert within(5, divmod, 7, 2) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        within(5, divmod, 7, 0)


def test_a_call_that_does_not_end_is_given_up():
    began = time.monotonic()
    with pytest.raises(TimeoutError, match=r"no whole answer in 0\.2 seconds"):
        within(0.2, time.sleep, 5)
    assert time.monotonic() - began < 3
