"""The pacing of shown pictures: a jitter buffer between chunks that arrive in bursts and a screen.

The policy, for every place that shows pictures:

* pictures are shown in order, each for its own duration, LONGEST_S at most;
* while a further chunk's pictures wait, each stays for CATCH_UP of its duration, so that a delay
  shrinks smoothly;
* at most `keep_chunks` chunks wait: beyond that the oldest pictures are dropped and counted.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Collection
from typing import Generic, TypeVar

Picture = TypeVar("Picture")

CATCH_UP = 0.8  # of a picture's duration, while too many wait
LONGEST_S = 1.0  # that one picture stays when chunks come slowly


class Playout(Generic[Picture]):
    """A bounded jitter buffer; `put` never blocks, and any thread may call anything.

    Attributes:
        shown: pictures that were taken so far. dropped: those that were left out.
    """

    def __init__(self, *, keep_chunks: int = 2) -> None:
        self.shown = self.dropped = 0
        self._keep_chunks = keep_chunks
        self._waiting: deque[tuple[Picture, float]] = deque()  # with their durations, seconds
        self._room = 1  # pictures that may wait before each stays for a shorter time
        self._changed = threading.Condition()

    def put(self, chunk: Collection[Picture], duration_s: float) -> None:
        """Append a chunk's pictures, each to be shown for so long."""
        duration_s = min(LONGEST_S, max(0.0, duration_s))
        with self._changed:
            self._waiting.extend((picture, duration_s) for picture in chunk)
            self._room = max(1, (self._keep_chunks - 1) * len(chunk))
            while len(self._waiting) > self._keep_chunks * len(chunk):
                self._waiting.popleft()
                self.dropped += 1
            self._changed.notify_all()

    def take(self, timeout_s: float = 0.0) -> tuple[Picture, float] | None:
        """Return the next picture and how long it is to stay; None where none comes in time."""
        with self._changed:
            if not self._waiting:
                self._changed.wait(timeout_s)
            if not self._waiting:
                return None
            picture, duration_s = self._waiting.popleft()
            self.shown += 1
            is_late = len(self._waiting) >= self._room
            return picture, duration_s * (CATCH_UP if is_late else 1.0)

    def wake(self) -> None:
        """End a `take` that waits."""
        with self._changed:
            self._changed.notify_all()
