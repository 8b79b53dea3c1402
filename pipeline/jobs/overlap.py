"""Producing and consuming at the same time: the next batch is drawn while the last one is encoded and written."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from queue import Full, Queue
from typing import NamedTuple, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

AHEAD = 2
"""Largest number of items that wait for the consumer."""
SECONDS = 0.1
"""Time between checks whether a consumer that takes no item has ended."""


class _End(NamedTuple):
    """The end of the items, and the error that caused it, or None."""

    error: BaseException | None


def overlapped(items: Iterable[Item], consume: Callable[[Iterator[Item]], Result]) -> Result:
    """Run `consume(items)` in a thread, while this thread produces the items, in their order and a few ahead.

    Items are produced here, because PyTorch's number of threads is set per thread, and sums depend on it. An error on either
    side ends both and is raised.
    """
    waiting: Queue = Queue(AHEAD)
    with ThreadPoolExecutor(1, "consumer") as thread:
        consumer = thread.submit(consume, _taken(waiting))
        error = None
        try:
            for item in items:
                if not _given(waiting, item, consumer):
                    break
        except BaseException as caught:  # a request to stop is one, too
            error = caught
            raise
        finally:
            _given(waiting, _End(error), consumer)
        return consumer.result()


def _given(waiting: Queue, item: object, consumer: Future) -> bool:
    """Put an item in the queue; False if the consumer takes no more."""
    while not consumer.done():
        try:
            waiting.put(item, timeout=SECONDS)
            return True
        except Full:
            pass
    return False


def _taken(waiting: Queue) -> Iterator:
    while not isinstance(item := waiting.get(), _End):
        yield item
    if item.error:
        raise item.error
