"""Statistics of a run: counts, rates and the latency of every stage."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sized
from dataclasses import dataclass, field

import numpy as np

STAGES: Mapping[str, str] = {
    "capture": "from one captured frame of a camera to the next",
    "queue": "a chunk waits for the engine",
    "engine": "the engine realizes a chunk, or those of its cameras together",
    "deliver": "all sinks take a chunk",
    "end_to_end": "from capture to delivery of a frame",
}
MOST_SAMPLES = (
    65_536  # latencies a stage: an hour of frames at 18 fps, so that memory stays bounded
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """Percentiles of one stage, milliseconds, over the latest 65,536 samples."""

    p50: float
    p95: float
    p99: float
    count: int

    @classmethod
    def of(cls, samples_ms: Iterable[float]) -> Latency:
        """Return the percentiles of `samples_ms`; zeros when there are none."""
        values = np.fromiter(samples_ms, np.float64)
        if not len(values):
            return cls(p50=0.0, p95=0.0, p99=0.0, count=0)
        p50, p95, p99 = np.percentile(values, (50, 95, 99))
        return cls(p50=float(p50), p95=float(p95), p99=float(p99), count=len(values))


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """Statistics of a run: at its end `captured == realized + dropped_frames + unfinished_frames`.

    Frames and chunks are those of all cameras together.

    Attributes:
        captured: frames that the source gave.
        realized: frames that the sinks have taken.
        lost_frames: frames that the source itself lost before we saw them.
        dropped_frames: captured frames that were not realized: overtaken under `drop_oldest`, or
            left over from a chunk that a gap or the end cut short.
        unfinished_frames: captured frames that were still on their way to the sinks when an
            interrupt or an error ended the run; 0 until it ends, and after a run that ended well.
        dropped_chunks: whole chunks that were overtaken under `drop_oldest`.
        resets: how often an engine had to forget what came before.
        wall_s: seconds from the first captured frame to the last delivered one.
        latency_ms: stage (a key of STAGES) -> percentiles.
        waiting_chunks: chunks of all cameras that wait now, by queue: "engine" before the engine,
            "sinks" behind it.
    """

    captured: int = 0
    realized: int = 0
    lost_frames: int = 0
    dropped_frames: int = 0
    unfinished_frames: int = 0
    dropped_chunks: int = 0
    resets: int = 0
    wall_s: float = 0.0
    latency_ms: Mapping[str, Latency] = field(default_factory=dict)
    waiting_chunks: Mapping[str, int] = field(default_factory=dict)

    def __repr__(self) -> str:
        """Show the counts and the rate."""
        return (
            f"Stats({self.captured} frames captured, {self.realized} realized, "
            f"{self.lost_frames} lost, {self.dropped_frames} dropped, "
            f"{self.unfinished_frames} unfinished, {self.fps:.1f} frames/s)"
        )

    @property
    def fps(self) -> float:
        """Realized frames of all cameras a second of wall time."""
        return self.realized / self.wall_s if self.wall_s > 0 else 0.0


class Meter:
    """Counts and times a run from all of its threads; `stats()` is a snapshot.

    Args:
        queues: whose lengths are `Stats.waiting_chunks`.
    """

    def __init__(self, queues: Mapping[str, Sized] | None = None) -> None:
        self._queues = queues or {}
        self._lock = threading.Lock()
        self._counts = dict.fromkeys(
            (
                "captured",
                "realized",
                "lost_frames",
                "dropped_frames",
                "unfinished_frames",
                "dropped_chunks",
                "resets",
            ),
            0,
        )
        self._samples: dict[str, deque[float]] = {
            stage: deque(maxlen=MOST_SAMPLES) for stage in STAGES
        }
        self._totals = dict.fromkeys(STAGES, (0, 0.0))
        self._began: float | None = None
        self._latest = 0.0

    def count(self, **more: int) -> None:
        """Add to the counts, by the names of Stats."""
        with self._lock:
            for name, number in more.items():
                self._counts[name] += number

    def sample(self, stage: str, *seconds: float) -> None:
        """Add durations of one stage."""
        with self._lock:
            self._samples[stage].extend(1e3 * value for value in seconds)
            count, total_s = self._totals[stage]
            self._totals[stage] = count + len(seconds), total_s + sum(seconds)

    def totals(self) -> dict[str, tuple[int, float]]:
        """Return stage -> how many samples there were so far, and their sum in seconds."""
        with self._lock:
            return dict(self._totals)

    def settle(self) -> None:
        """Count what no sink took and nothing dropped; called once the run has ended."""
        with self._lock:
            counts = self._counts
            done = counts["realized"] + counts["dropped_frames"]
            counts["unfinished_frames"] = counts["captured"] - done

    def touch(self) -> None:
        """Note that a frame was captured or delivered now."""
        self._latest = time.monotonic()
        if self._began is None:
            self._began = self._latest

    def stats(self) -> Stats:
        """Return the statistics so far."""
        with self._lock:
            samples = {stage: list(values) for stage, values in self._samples.items()}
            counts = dict(self._counts)
        return Stats(
            **counts,
            wall_s=self._latest - self._began if self._began is not None else 0.0,
            latency_ms={stage: Latency.of(values) for stage, values in samples.items()},
            waiting_chunks={name: len(queue) for name, queue in self._queues.items()},
        )
