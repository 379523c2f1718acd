"""Works on a job: any number of workers may, and no two make the same piece.

A worker takes the lease of a piece, makes it beside its place, publishes it, and only then records
the attempt. Whatever ends it in between, another worker finds the lease abandoned and goes on.
"""

from __future__ import annotations

import logging
import sys
import time
import traceback
from collections import deque

from realmaster_live.errors import ConfigError, DiskFull, MissingDependency
from realmaster_live.jobs.leases import LEASES, hold
from realmaster_live.jobs.work import DONE, FAILED, QUARANTINED, Attempt, Status, Work, reason_of
from realmaster_live.system.atomic_files import part_of, publish, remove_leftovers, room_for, settle

logger = logging.getLogger(__name__)

LOST_GPU = "CUDA error"  # after one of these every call of the process fails
DIED = "the process that made it died: killed, crashed, or out of memory"


class Worker:
    """Makes what a job lacks, one piece after another.

    Args:
        work: the job.
        shard: i of n: which of the pieces are its own. It begins with these; then it helps with
            those that no other worker has begun.
    """

    def __init__(self, work: Work, *, shard: tuple[int, int] = (0, 1)) -> None:
        self.work = work
        share, shares = shard
        others = (key for index, key in enumerate(work.keys) if index % shares != share)
        self.keys = [*work.keys[share::shares], *others]

    def run(self, *, limit: int | None = None) -> int:
        """Make what is missing and can be made, up to a limit; returns how many pieces were made.

        Raises:
            DiskFull: there is no room. ConfigError, MissingDependency: nothing can be made.
            SystemExit: the process lost its GPU; the failure is recorded, and a new worker goes on.
        """
        waiting, made = deque(self.keys), 0
        while waiting and (limit is None or made < limit):
            key = waiting.popleft()
            status = self.attempt(key)
            made += status == DONE
            if status == FAILED:
                waiting.append(key)  # again, after its neighbours
        return made

    def attempt(self, key: str) -> Status | None:
        """Try to make a piece; returns its status after that, None where nothing was tried."""
        work = self.work
        if not work.look(key).ready:
            return None
        with (
            room_for(work.folder / LEASES / key),
            hold(work.folder, key, work.config.lease_s) as lease,
        ):
            if lease is None or not work.look(key, fresh=True).ready:
                return None
            if lease.orphaned and self._failed(key, DIED) == QUARANTINED:
                return QUARANTINED
            started = time.monotonic()
            try:
                return DONE if produce(work, key) else None
            except (ConfigError, MissingDependency, DiskFull):
                raise
            except Exception as error:
                if lease.is_lost():
                    return None  # whoever took it over makes the piece, and counts its attempts
                text = traceback.format_exc()
                status = self._failed(key, text, wall_s=time.monotonic() - started)
                if LOST_GPU in text:
                    sys.exit(f"the worker ends, because its GPU no longer answers: {error}")
                return status

    def _failed(self, key: str, error: str, *, wall_s: float = 0.0) -> Status:
        """Record a failed attempt; returns the status of the piece after it."""
        work, piece = self.work, self.work.look(key)
        number = piece.failures + 1
        status = QUARANTINED if number >= work.config.attempts else FAILED
        work.record(key, Attempt(status=status, number=number, wall_s=wall_s, error=error))
        reported = (work.name, piece.name, status, number, reason_of(error))
        logger.warning("%s %s: %s (attempt %d): %s", *reported)
        return status


def produce(work: Work, key: str) -> bool:
    """Make a piece beside its place, publish it, and record the attempt; its lease must be held.

    Returns False where the lease expired meanwhile and another worker was quicker.
    """
    piece, started = work.look(key), time.monotonic()
    remove_leftovers(piece.path)
    with part_of(piece.path) as part:
        facts = work.make(key, part)
        if work.look(key, fresh=True).status == DONE:
            return False
        stored = None
        if part.is_dir():
            publish(part, piece.path)
        else:
            stored = settle(part, piece.path)
    wall_s = time.monotonic() - started
    number = piece.failures + 1
    work.record(key, Attempt(status=DONE, number=number, wall_s=wall_s, facts=facts, stored=stored))
    return True
