"""The one queue of the live loop: bounded, closable, with a named rule for when it is full."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, Literal, TypeVar, get_args

from realmaster_live.errors import ConfigError

Policy = Literal["block", "drop_oldest"]
Item = TypeVar("Item")


class QueueClosed(Exception):
    """The other end has given up; nothing more can be put or taken."""


class BoundedQueue(Generic[Item]):
    """First in, first out, between one thread that puts and one that gets.

    Args:
        size: how many items fit.
        policy: what `put` does when it is full: "block" waits, "drop_oldest" makes room.
        inherit: called as `inherit(dropped, next)` for every dropped item; returns what replaces
            the item that now follows the gap, so that the loss stays visible to the reader.
    """

    def __init__(
        self, size: int, policy: Policy, *, inherit: Callable[[Item, Item], Item] | None = None
    ) -> None:
        if size < 1:
            raise ConfigError(f"expected a queue of 1 or more chunks, got {size}: use 2")
        if policy not in get_args(Policy):
            raise ConfigError(
                f"expected the policy 'block' or 'drop_oldest', got {policy!r}: use 'block' where "
                "the source can wait"
            )
        self._size = size
        self._policy = policy
        self._inherit = inherit
        self._items: deque[Item] = deque()
        self._changed = threading.Condition()
        self._finished = False
        self._closed = False

    def put(self, item: Item) -> Item | None:
        """Append `item`; return the one that was dropped for it, if any.

        Raises:
            QueueClosed: after `close`, also while waiting for room.
        """
        with self._changed:
            if self._policy == "block":
                self._changed.wait_for(lambda: self._closed or len(self._items) < self._size)
            if self._closed:
                raise QueueClosed
            dropped = self._items.popleft() if len(self._items) == self._size else None
            self._items.append(item)
            if dropped is not None and self._inherit is not None:
                self._items[0] = self._inherit(dropped, self._items[0])
            self._changed.notify_all()
            return dropped

    def get(self) -> Item | None:
        """Wait for the next item; return None after the last one.

        Raises:
            QueueClosed: after `close`, also while waiting.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._finished or bool(self._items))
            if self._closed:
                raise QueueClosed
            if not self._items:
                return None
            item = self._items.popleft()
            self._changed.notify_all()
            return item

    def finish(self) -> None:
        """Say that nothing more will be put; the reader still gets what is in the queue."""
        with self._changed:
            self._finished = True
            self._changed.notify_all()

    def close(self) -> tuple[Item, ...]:
        """Take out what is in the queue and return it; wake both ends with QueueClosed."""
        with self._changed:
            self._closed = True
            left = tuple(self._items)
            self._items.clear()
            self._changed.notify_all()
            return left

    def __len__(self) -> int:
        """Return how many items wait."""
        return len(self._items)

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed
