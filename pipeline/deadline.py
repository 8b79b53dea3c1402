"""A limit on the whole time of a call, for servers that send a byte now and then."""

import threading
from collections.abc import Callable
from typing import Any, TypeVar

Result = TypeVar("Result")


def within(seconds: float, call: Callable[..., Result], *arguments: Any, **named: Any) -> Result:
    """The call's result, or its error. Raises TimeoutError if it does not end in time; its thread then ends with the process."""
    outcome: dict[str, Any] = {}

    def run() -> None:
        try:
            outcome["result"] = call(*arguments, **named)
        except BaseException as error:
            outcome["error"] = error

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if not outcome:
        raise TimeoutError(f"no whole answer in {seconds:g} seconds")
    if "error" in outcome:
        raise outcome["error"]
    return outcome["result"]
