"""Joins the pictures of several cameras by the simulator's frame number."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any

from realmaster_live.errors import FrameTimeout


class BridgeClosed(Exception):
    """The bridge was closed while somebody used it; its own code catches this, no user sees it."""


class FrameJoin:
    """Collects one item a camera for each frame number; never pairs two numbers.

    `put` is called from the client's threads and only stores. At most `capacity` frames wait; a
    newer one pushes out the oldest, so that a slow reader gets gaps in the numbers, never a queue
    that grows. Each camera sends its frames in order, so that a complete frame proves that older
    incomplete ones will stay incomplete.
    """

    def __init__(self, cameras: Sequence[str], *, capacity: int = 8) -> None:
        self._cameras = tuple(cameras)
        self._capacity = capacity
        self._waiting: dict[int, dict[str, Any]] = {}
        self._last_taken = -1
        self._closed = False
        self._changed = threading.Condition()

    def put(self, camera: str, frame_id: int, item: Any) -> None:
        """Store one camera's item; a frame that is already past is dropped."""
        with self._changed:
            if self._closed or frame_id <= self._last_taken:
                return
            self._waiting.setdefault(frame_id, {})[camera] = item
            while len(self._waiting) > self._capacity:
                del self._waiting[min(self._waiting)]
            self._changed.notify_all()

    def take(self, frame_id: int, timeout_s: float) -> dict[str, Any]:
        """Return the items of exactly this frame; older ones are dropped.

        Raises FrameTimeout, naming the silent cameras, and BridgeClosed.
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
                complete = [i for i in sorted(self._waiting) if self._is_complete(i)]
                if complete:
                    return complete[0], self._pop(complete[0])
                left = deadline - time.monotonic()
                if left <= 0 or not self._changed.wait(left):
                    newest = max(self._waiting, default=self._last_taken + 1)
                    raise FrameTimeout(self._missing(newest, timeout_s))

    def close(self) -> None:
        """Drop everything and wake whoever waits; may be called twice."""
        with self._changed:
            self._closed = True
            self._waiting.clear()
            self._changed.notify_all()

    def _is_complete(self, frame_id: int) -> bool:
        return len(self._waiting.get(frame_id, ())) == len(self._cameras)

    def _pop(self, frame_id: int) -> dict[str, Any]:
        items = self._waiting.pop(frame_id)
        for old in [i for i in self._waiting if i < frame_id]:
            del self._waiting[old]
        self._last_taken = frame_id
        return items

    def _missing(self, frame_id: int, timeout_s: float) -> str:
        here = self._waiting.get(frame_id, {})
        silent = [camera for camera in self._cameras if camera not in here]
        return (
            f"expected frame {frame_id} of {', '.join(self._cameras)} within {timeout_s:g} s, got "
            f"nothing from {', '.join(silent)}: see that the simulator still renders and ticks, or "
            "raise timeout_s"
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
