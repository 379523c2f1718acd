"""Works off a job: any number of workers may, and no two make the same sequence."""

from __future__ import annotations

import json
import logging
import os
import time
import traceback
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from realmaster_live.errors import ConfigError, DiskFull, MissingDependency
from realmaster_live.jobs.leases import hold
from realmaster_live.live.stats import Stats
from realmaster_live.replay.job import Job, Piece, Status, Try
from realmaster_live.replay.realize import Engines, Wrap, realize, sweep

logger = logging.getLogger(__name__)

DIED = "the process that made it died: killed, crashed, or out of memory"
PROGRESS = "progress"


class Worker:
    """Makes what a job lacks; holds an engine all the while.

    Args:
        job: what to make.
        shard: i of n: where it begins. What the others have not begun when its own share is
            finished, it makes too.
        wrap: what to put around an engine.
    """

    def __init__(
        self,
        job: Job,
        *,
        shard: tuple[int, int] = (0, 1),
        wrap: Wrap = lambda engine: engine,
    ) -> None:
        self.job = job
        share, shares = shard
        pieces = list(enumerate(job.pieces))
        own = [piece for index, piece in pieces if index % shares == share]
        self.pieces = [*own, *(piece for index, piece in pieces if index % shares != share)]
        threads = max(1, (os.cpu_count() or 1) // shares) if shares > 1 else 0
        self.engines = Engines(job.realizing, threads=threads, wrap=wrap)

    def run(self, *, limit: int | None = None, wanted: Callable[[], bool] = lambda: True) -> int:
        """Make what is missing; returns how many were made.

        Raises:
            DiskFull: there is no room. ConfigError, MissingDependency: the engine cannot run.
        """
        waiting, made = deque(self.pieces), 0
        try:
            while waiting and wanted() and (limit is None or made < limit):
                piece = waiting.popleft()
                status = self.attempt(piece)
                made += status == "done"
                if status == "failed":
                    waiting.append(piece)  # once more, after its neighbours
        finally:
            self.engines.close()
        return made

    def attempt(self, piece: Piece) -> Status | None:
        """Try one piece; returns what came of it, None where nothing was done."""
        job = self.job
        if job.status(piece) in ("done", "quarantined"):
            return None
        with hold(job.state, piece.name, job.run.lease_s) as lease:
            if lease is None or job.status(piece) in ("done", "quarantined"):
                return None
            sweep(piece)
            if lease.orphaned and self._failed(piece, DIED) == "quarantined":
                return "quarantined"
            return self._make(piece)

    def _make(self, piece: Piece) -> Status:
        try:
            realize(self.job, piece, self.engines, on_progress=self._told_of(piece))
        except (ConfigError, MissingDependency, DiskFull):
            raise
        except Exception:
            return self._failed(piece, traceback.format_exc())
        return "done"

    def _failed(self, piece: Piece, error: str) -> Status:
        tried = Try(attempts=self.job.tried(piece).attempts + 1, error=error)
        self.job.note(piece, tried)
        logger.warning("%s failed (attempt %d): %s", piece.name, tried.attempts, tried.reason)
        return self.job.status(piece)

    def _told_of(self, piece: Piece) -> Callable[[Stats], None]:
        path = self.job.state / PROGRESS / f"{piece.name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)

        def tell(stats: Stats) -> None:
            with suppress(OSError):  # a number to look at: the next one comes in a moment
                path.write_text(json.dumps({"frames": stats.captured, "at": time.time()}))

        return tell


def progress_of(job: Job, piece: Piece) -> int:
    """Return how many frames of a piece have been read so far, 0 where nobody has begun."""
    try:
        told = json.loads((job.state / PROGRESS / f"{piece.name}.json").read_text())
        return int(told["frames"])
    except (OSError, ValueError, KeyError):
        return 0
