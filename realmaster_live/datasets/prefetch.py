"""Prefetches the items of an iterator in a thread of its own."""

from __future__ import annotations

from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
COUNT = 8  # largest number of items that are made in advance


def prefetch(items: Generator[Item] | Iterator[Item], count: int = COUNT) -> Iterator[Item]:
    """Yield `items` in order; a thread of its own makes up to `count` of them in advance.

    `items` is closed with this iterator, in that thread.
    """
    waiting: deque[Future[Item | None]] = deque()
    pool = ThreadPoolExecutor(1, thread_name_prefix="rm-prefetch")
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
