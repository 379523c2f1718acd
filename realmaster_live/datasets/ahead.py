"""Decoding beside the thread that uses what was decoded."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
COUNT = 8  # items that wait; decoding pauses meanwhile


def ahead(items: Generator[Item] | Iterator[Item], count: int = COUNT) -> Iterator[Item]:
    """Yield `items` in order, made in a thread of their own, up to `count` ahead.

    `items` is closed with this iterator, in that thread.
    """
    waiting: deque[Future[Item | None]] = deque()
    pool = ThreadPoolExecutor(1, thread_name_prefix="rm-ahead")
    try:
        waiting.extend(pool.submit(next, items, None) for _ in range(count))
        while (item := waiting.popleft().result()) is not None:
            waiting.append(pool.submit(next, items, None))
            yield item
    finally:
        for future in waiting:
            future.cancel()
        if isinstance(items, Generator):
            pool.submit(items.close).result()
        pool.shutdown()
