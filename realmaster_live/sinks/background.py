"""Any sink on a thread of its own, so that none can hold up the live loop or end it."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Protocol, Self, runtime_checkable

from realmaster_live.errors import ConfigError
from realmaster_live.frames.chunk import Chunk
from realmaster_live.frames.run_info import RunInfo
from realmaster_live.live.queue import BoundedQueue, Policy, QueueClosed
from realmaster_live.live.stats import Latency
from realmaster_live.protocols import Sink

log = logging.getLogger(__name__)

CLOSE_S = {"block": 60.0, "drop_oldest": 5.0}  # how long the end of a run waits for a sink
NICENESS = 10  # more of a live sink's thread on Linux: the simulator and the engine come first
LATENCIES = 1024

Span = Callable[[str, Chunk], AbstractContextManager[object]]


@dataclass(frozen=True, slots=True, kw_only=True)
class SinkFigures:
    """What became of the chunks that a sink was given.

    Attributes:
        name: of the sink. policy: what happens when it is late.
        written: frames that it took. dropped: frames that were overtaken under `drop_oldest`.
        failed: frames at which it raised. waiting: chunks in its queue now.
        error: the first exception, "" without one.
        latency_ms: of writing a chunk, the latest 1024.
    """

    name: str
    policy: Policy
    written: int = 0
    dropped: int = 0
    failed: int = 0
    waiting: int = 0
    error: str = ""
    latency_ms: Latency = field(default_factory=lambda: Latency.of(()))

    def __str__(self) -> str:
        """Say it in a line."""
        parts = [f"{self.written} frames"]
        if self.policy == "drop_oldest" or self.dropped:
            parts.append(f"{self.dropped} dropped")
        if self.failed or self.error:
            parts.append(f"{self.failed} failed ({self.error})")
        return f"{self.name}: {', '.join(parts)}"


@runtime_checkable
class OpenableSink(Sink, Protocol):
    """A sink that holds nothing until it is opened."""

    def open(self) -> None:
        """Take what the sink writes to; called once, before anything else, on the run's thread."""


@runtime_checkable
class BeginningSink(Sink, Protocol):
    """A sink that is given a description of the run."""

    def begin(self, run: RunInfo) -> None:
        """Take it; called before the run's first chunk."""


class BackgroundSink:
    """A sink that runs on its own thread, behind a bounded queue with a stated policy.

    What the sink raises while it writes is counted, named once in the log, and ends nothing. It is
    opened once, by `with`, `begin` or the first chunk, and what it raises then is raised here; if
    it was opened, it is closed once.

    Args:
        sink: which one; it is called by one thread at a time.
        name: in the log, in figures and of the thread.
        policy: "drop_oldest" for what people watch, "block" for what must be complete.
        queue_chunks: how many chunks of each camera may wait.
    """

    def __init__(
        self, sink: Sink, *, name: str, policy: Policy = "drop_oldest", queue_chunks: int = 2
    ) -> None:
        self.sink = sink
        self.name = name
        self.policy = policy
        self.span: Span = _no_span
        self._queue_chunks = queue_chunks
        self._queue: BoundedQueue[Chunk] | None = None
        self._thread: threading.Thread | None = None
        self._counts = dict.fromkeys(("written", "dropped", "failed"), 0)
        self._seconds: deque[float] = deque(maxlen=LATENCIES)
        self._error = ""
        self._in_hand = 0  # frames of the chunk that the sink is writing
        self._opened = self._closed = False

    def __enter__(self) -> Self:
        self._open()
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __repr__(self) -> str:
        """Show what became of its chunks."""
        return f"BackgroundSink({self.figures})"

    @property
    def is_open(self) -> bool:
        """Whether it was opened and not closed yet."""
        return self._opened and not self._closed

    @property
    def figures(self) -> SinkFigures:
        """What became of the chunks so far."""
        return SinkFigures(
            name=self.name,
            policy=self.policy,
            waiting=0 if self._queue is None else len(self._queue),
            error=self._error,
            latency_ms=Latency.of(1e3 * value for value in tuple(self._seconds)),
            **self._counts,
        )

    def begin(self, run: RunInfo) -> None:
        """Open the sink on the caller's thread; raises what it raises."""
        self._open()
        if isinstance(self.sink, BeginningSink):
            self.sink.begin(run)
        self._start(cameras=len(run.source_info.cameras))

    def write(self, chunk: Chunk) -> None:
        """Queue one chunk; waits for room under `block`, and counts what goes for it else."""
        self._start()
        assert self._queue is not None
        with contextlib.suppress(QueueClosed):
            overtaken = self._queue.put(chunk)
            if overtaken is not None:
                self._counts["dropped"] += len(overtaken)

    def close(self) -> None:
        """Write what waits, and close the sink; may be called twice.

        A sink that takes longer than CLOSE_S is left behind, and the log says so.
        """
        if self._closed:
            return
        self._closed = True
        if self._thread is None or self._queue is None:
            if self._opened or not isinstance(self.sink, OpenableSink):
                self._guarded(self.sink.close)
            return
        self._queue.finish()
        self._thread.join(CLOSE_S[self.policy])
        if self._thread.is_alive():
            self._counts["dropped"] += sum(map(len, self._queue.close()))
            self._counts["failed"] += self._in_hand
            self._error = self._error or f"it did not end in {CLOSE_S[self.policy]:g} s"
            log.warning("%s did not end in %g s: left as it is", self.name, CLOSE_S[self.policy])

    def _open(self) -> None:
        if self._closed:
            raise ConfigError(
                f"expected a sink that was not closed, got {self.name}: open a new one"
            )
        if self._opened:
            return
        if isinstance(self.sink, AbstractContextManager):
            self.sink.__enter__()
        elif isinstance(self.sink, OpenableSink):
            self.sink.open()
        self._opened = True

    def _start(self, cameras: int = 1) -> None:
        if self._thread is not None:
            return
        self._open()
        self._queue = BoundedQueue(self._queue_chunks * max(1, cameras), self.policy)
        name = f"rm-{self.name}"
        self._thread = threading.Thread(target=self._work, args=(self._queue,), name=name)
        self._thread.daemon = True
        self._thread.start()

    def _work(self, queue: BoundedQueue[Chunk]) -> None:
        # Elsewhere the priority is the whole process's. The loop waits for a sink that blocks.
        if sys.platform == "linux" and self.policy == "drop_oldest":
            with contextlib.suppress(OSError):
                native = threading.get_native_id()
                own = os.getpriority(os.PRIO_PROCESS, native)  # the run's, which may be nice itself
                os.setpriority(os.PRIO_PROCESS, native, min(19, own + NICENESS))
        with contextlib.suppress(QueueClosed):
            while (chunk := queue.get()) is not None:
                began, self._in_hand = time.monotonic(), len(chunk)
                with self.span(self.name, chunk):
                    taken = self._guarded(self.sink.write, chunk)
                self._in_hand = 0
                self._seconds.append(time.monotonic() - began)
                self._counts["written" if taken else "failed"] += len(chunk)
                del chunk  # its pictures are not kept while the next one is waited for
        self._guarded(self.sink.close)

    def _guarded(self, call: Callable[..., object], *arguments: Chunk) -> bool:
        """Call something of the sink; return whether it raised nothing."""
        try:
            call(*arguments)
        except Exception as error:
            if not self._error:
                self._error = f"{type(error).__name__}: {error}"
                log.warning(
                    "%s failed and goes on, further errors are counted: %s", self.name, self._error
                )
            return False
        return True


def _no_span(name: str, chunk: Chunk) -> AbstractContextManager[object]:
    return nullcontext()
