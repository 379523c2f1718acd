"""A replay job as work for the job engine: a piece is a recording that footage becomes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from realmaster_live.errors import RecordingError
from realmaster_live.jobs.work import DONE, Attempt, PieceState, RunConfig
from realmaster_live.live.stats import Stats
from realmaster_live.protocols import Sink
from realmaster_live.replay.job import Job, Piece, check_place
from realmaster_live.replay.realize import Engines, Wrap, realize
from realmaster_live.system.records import encode, read_record

PROGRESS = "progress"


class ReplayWork:
    """The recordings of a job; keeps its engines loaded from one to the next.

    Args:
        job: what to make.
        workers: how many share this machine's processors.
        wrap: what to put around an engine.
        sinks: see the frames too.
        on_progress: called with the counts of the piece in hand.
    """

    name = "replay"

    def __init__(
        self,
        job: Job,
        *,
        workers: int = 1,
        wrap: Wrap = lambda engine: engine,
        sinks: Sequence[Sink] = (),
        on_progress: Callable[[Stats], None] | None = None,
    ) -> None:
        self.job, self.sinks, self.on_progress = job, sinks, on_progress
        self.pieces = {piece.name: piece for piece in job.pieces}
        threads = max(1, (os.cpu_count() or 1) // workers) if workers > 1 else 0
        self.engines = Engines(job.realizing, threads=threads, wrap=wrap)

    def __enter__(self) -> ReplayWork:
        return self

    def __exit__(self, *exception: object) -> None:
        self.engines.close()

    @property
    def folder(self) -> Path:
        """The folder of the job's leases."""
        return self.job.state

    @property
    def config(self) -> RunConfig:
        """How the work is done."""
        return self.job.run

    @property
    def keys(self) -> Sequence[str]:
        """The names of the recordings."""
        return tuple(self.pieces)

    def look(self, key: str, *, fresh: bool = False) -> PieceState:
        """Return what is known of a recording; it is read from the disk each time."""
        piece = self.pieces[key]
        return PieceState(
            name=key,
            path=piece.out,
            status=self.job.status(piece),
            failures=self.job.failures(piece).attempts,
        )

    def make(self, key: str, part: Path) -> Mapping[str, Any]:
        """Realize the footage of a recording."""
        piece = self.pieces[key]
        check_place(piece, overwrite=self.job.overwrite)
        report = self.on_progress or _reporter(self.job, piece)
        realize(self.job, piece, self.engines, part, sinks=self.sinks, on_progress=report)
        return {}

    def record(self, key: str, attempt: Attempt) -> None:
        """Keep a failure; a recording that is done says so by its stamp."""
        if attempt.status != DONE:
            self.job.record_failure(self.pieces[key], attempt.number, attempt.error)


@dataclass(frozen=True, kw_only=True)
class FramesRead:
    """How many frames of a piece were read, and when that was, in Unix time."""

    frames: int
    at: float


def frames_read(job: Job, piece: Piece) -> int:
    """Return how many frames of a piece have been read so far, 0 where nobody has begun."""
    try:
        path = _progress_file(job, piece)
        read = read_record(path, FramesRead, what="frames", remedy="", error=RecordingError)
    except RecordingError:
        return 0
    return read.frames


def _reporter(job: Job, piece: Piece) -> Callable[[Stats], None]:
    path = _progress_file(job, piece)
    path.parent.mkdir(parents=True, exist_ok=True)

    def report(stats: Stats) -> None:
        with suppress(OSError):  # only shown to people, and written again in a moment
            path.write_bytes(encode(FramesRead(frames=stats.captured, at=time.time())))

    return report


def _progress_file(job: Job, piece: Piece) -> Path:
    return job.state / PROGRESS / f"{piece.name}.json"
