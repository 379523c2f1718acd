"""Joins what several senders deliver for one tick, by the simulator's frame number."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from typing import Any

from realmaster_live.errors import FrameTimeout


class BridgeClosed(Exception):
    """The bridge was closed while somebody used it; its own code catches this, no user sees it."""


class FrameJoin:
    """Collects one item a sender for each frame number; never pairs two numbers.

    `put` is called from the client's threads and only stores. At most `capacity` items of a sender
    wait; a newer one pushes out the oldest, so that a slow reader gets gaps in the numbers, never a
    queue that grows. Each sender sends its frames in order, so that a complete frame proves that
    older incomplete ones will stay incomplete.

    Args:
        senders: whose items make a frame: the cameras, and what else is sent once a tick.
        capacity: of each sender. capacities: of those that have another.
    """

    def __init__(
        self,
        senders: Sequence[str],
        *,
        capacity: int = 8,
        capacities: Mapping[str, int] | None = None,
    ) -> None:
        self._capacities = dict.fromkeys(senders, capacity) | dict(capacities or {})
        self._waiting: dict[str, dict[int, Any]] = {sender: {} for sender in senders}
        self._last_taken = -1
        self._closed = False
        self._changed = threading.Condition()

    def put(self, sender: str, frame_id: int, item: Any) -> None:
        """Store one sender's item; a frame that is already past is dropped."""
        with self._changed:
            if self._closed or frame_id <= self._last_taken:
                return
            items = self._waiting[sender]
            items[frame_id] = item
            while len(items) > self._capacities[sender]:
                del items[min(items)]
            self._changed.notify_all()

    def take(self, frame_id: int, timeout_s: float) -> dict[str, Any]:
        """Return the items of exactly this frame; older ones are dropped.

        Raises FrameTimeout, naming the silent senders, and BridgeClosed.
        """
        with self._changed:
            arrived = self._changed.wait_for(
                lambda: self._closed or self._is_complete(frame_id), timeout_s
            )
            if self._closed:
                raise BridgeClosed
            if not arrived:
                raise FrameTimeout(self._missing(frame_id, timeout_s))
            return self._pop(frame_id)

    def take_next(self, timeout_s: float) -> tuple[int, dict[str, Any]]:
        """Return number and items of the oldest complete frame; raises as `take` does."""
        deadline = time.monotonic() + timeout_s
        with self._changed:
            while True:
                if self._closed:
                    raise BridgeClosed
                first = next(iter(self._waiting.values()), {})
                complete = [number for number in sorted(first) if self._is_complete(number)]
                if complete:
                    return complete[0], self._pop(complete[0])
                left = deadline - time.monotonic()
                if left <= 0 or not self._changed.wait(left):
                    raise FrameTimeout(self._missing(self._newest(), timeout_s))

    def silent(self) -> tuple[str, ...]:
        """Return who did not send the newest frame that anybody has sent."""
        with self._changed:
            return self._silent(self._newest())

    def close(self) -> None:
        """Drop everything and wake whoever waits; may be called twice."""
        with self._changed:
            self._closed = True
            for items in self._waiting.values():
                items.clear()
            self._changed.notify_all()

    def _is_complete(self, frame_id: int) -> bool:
        return all(frame_id in items for items in self._waiting.values())

    def _pop(self, frame_id: int) -> dict[str, Any]:
        taken = {sender: items[frame_id] for sender, items in self._waiting.items()}
        for items in self._waiting.values():
            for old in [number for number in items if number <= frame_id]:
                del items[old]
        self._last_taken = frame_id
        return taken

    def _newest(self) -> int:
        numbers = [max(items) for items in self._waiting.values() if items]
        return max(numbers, default=self._last_taken + 1)

    def _silent(self, frame_id: int) -> tuple[str, ...]:
        return tuple(sender for sender, items in self._waiting.items() if frame_id not in items)

    def _missing(self, frame_id: int, timeout_s: float) -> str:
        return (
            f"expected frame {frame_id} of {', '.join(self._waiting)} within {timeout_s:g} s, got "
            f"nothing from {', '.join(self._silent(frame_id))}: raise timeout_s (--timeout)"
        )


class StepCounter:
    """Counts frames lost between those that arrived, by their numbers.

    A camera that draws every k-th tick has a step of k: the smallest seen. `every_tick` says that
    the step is known to be one.
    """

    def __init__(self, *, every_tick: bool) -> None:
        self._step: int | None = 1 if every_tick else None
        self._last: int | None = None

    def missed(self, frame_id: int) -> int:
        """Return how many frames are missing just before `frame_id`."""
        last, self._last = self._last, frame_id
        if last is None or frame_id <= last:
            return 0
        step = frame_id - last
        self._step = step if self._step is None else min(self._step, step)
        return step // self._step - 1
