"""Waiting for what other threads, processes and machines do, however slow this one is."""

import time
from collections.abc import Callable
from typing import TypeVar

Given = TypeVar("Given")
LONGEST_S = 60.0  # only what never happens takes so long


def until(
    condition: Callable[[], Given], what: str = "it did not happen", seconds: float = LONGEST_S
) -> Given:
    """Wait until `condition()` is true; return what it gives."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, what
        time.sleep(0.005)
    return value
