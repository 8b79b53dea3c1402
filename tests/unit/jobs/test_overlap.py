"""Making and consuming at once: the same items in the same order, and an end to both where one fails."""

import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.jobs.overlap import AHEAD, overlapped


@given(st.lists(st.integers(), max_size=50))
def test_all_items_are_taken_in_order(items):
    assert overlapped(iter(items), list) == items


def test_items_are_made_in_the_calling_thread_and_consumed_in_another():
    made = (threading.get_ident() for _ in range(3))
    taken = overlapped(made, lambda items: [(item, threading.get_ident()) for item in items])
    assert {item for item, _ in taken} == {threading.get_ident()}
    assert len({thread for _, thread in taken}) == 1 and taken[0][1] != threading.get_ident()


def test_the_next_item_is_made_while_one_is_consumed():
    second = threading.Event()

    def made():
        yield 1
        second.set()
        yield 2

    def consume(items):
        next(items)
        return second.wait(timeout=60)

    assert overlapped(made(), consume)


def test_few_items_are_made_ahead():
    made, most = 0, 0

    def items():
        nonlocal made
        for item in range(20):
            made += 1
            yield item

    def consume(taken):
        nonlocal most
        for item in taken:
            time.sleep(0.01)
            most = max(most, made - item)

    overlapped(items(), consume)
    assert AHEAD <= most <= AHEAD + 2  # those that wait, the one in hand and the one being made


@pytest.mark.parametrize("error", [ValueError("a bad picture"), SystemExit(143), KeyboardInterrupt()])
def test_an_error_of_the_maker_ends_both(error):
    ended = []

    def made():
        yield 1
        raise error

    def consume(items):
        try:
            return list(items)
        except BaseException as caught:
            ended.append(caught)
            raise

    with pytest.raises(type(error)) as raised:
        overlapped(made(), consume)
    assert raised.value is error and ended == [error]
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("consumer")]


def test_an_error_of_the_consumer_ends_both():
    made = 0

    def items():
        nonlocal made
        while True:
            made += 1
            yield made

    def consume(taken):
        next(taken)
        raise OSError("the disk is full")

    with pytest.raises(OSError, match="the disk is full"):
        overlapped(items(), consume)
    assert made < 10


def test_a_consumer_may_end_early():
    assert overlapped(iter(range(100)), next) == 0
