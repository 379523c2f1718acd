"""Runs a stage over the clips of a dataset: finished work is found by its key and never redone.

Any number of workers may run the same stage at once. A worker takes the lease of a key, makes the
object aside, moves it to its place, and only then writes the manifest row: the row is the commit.
"""

from __future__ import annotations

import json
import logging
import sys
import time
import traceback
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from realmaster_live.errors import ConfigError, DiskFull, MissingDependency
from realmaster_live.jobs.executors import RunConfig, Task
from realmaster_live.jobs.leases import LEASES, hold
from realmaster_live.system.atomic_files import Stored, part_of, room_for, settle
from realmaster_live.training.pairs.chain import Chain
from realmaster_live.training.pairs.manifest import (
    DONE,
    FAILED,
    QUARANTINED,
    Ledger,
    Row,
    append,
)
from realmaster_live.training.pairs.stage import Clip, Job, Value

logger = logging.getLogger(__name__)

LOST_GPU = "CUDA error"  # after one of these every call of the process fails
DIED = "the process that made it died: killed, crashed, or out of memory"


def object_of(dataset: Path, stage: str, clip: Clip) -> Path | None:
    """Return the finished file that a stage made of a clip under the dataset's recipe, or None."""
    row = rows_of(dataset, stage).get(clip.clip_id)
    found = Chain(dataset).path(stage, clip)
    return found if row is not None and row.status == DONE else None


def objects_of(dataset: Path, stage: str) -> dict[str, Path]:
    """Return clip_id -> finished file of a stage, for the clips that have one."""
    chain = Chain(dataset)
    finished = {name for name, row in chain.rows(stage).items() if row.status == DONE}
    return {c.clip_id: chain.path(stage, c) for c in chain.clips if c.clip_id in finished}


def rows_of(dataset: Path, stage: str) -> dict[str, Row]:
    """Return clip_id -> newest row of a stage under the dataset's recipe, of whatever status."""
    return Chain(dataset).rows(stage)


def give_another_chance(chain: Chain, stage: str) -> int:
    """Take the clips of a stage out of quarantine, with no attempt counted; returns how many."""
    given_up = [row for row in chain.rows(stage).values() if row.status == QUARANTINED]
    again = [replace(row, status=FAILED, attempts=0, written_s=time.time()) for row in given_up]
    if again:
        append(chain.dataset, chain.spec(stage).name, again)
    return len(again)


def work(
    dataset: str,
    stage: str,
    *,
    shard: tuple[int, int],
    limit: int | None = None,
    wanted: Callable[[], bool] = lambda: True,
) -> int:
    """Be one worker of a stage, as an executor starts it; returns how many clips were made."""
    return Worker(Chain(Path(dataset)), stage, shard=shard).run(limit=limit, wanted=wanted)


def task_of(
    dataset: Path, stage: str, run: RunConfig, *, shard: tuple[int, int], limit: int | None = None
) -> Task:
    """Return what a worker of a stage is told."""
    folder = str(dataset.resolve())  # a worker may have another working directory
    command = ("pairs", "work", folder, "--stage", stage)
    return Task(
        name=stage,
        entry=f"{__name__}:{work.__name__}",
        arguments=(folder, stage),
        command=command if limit is None else (*command, "--limit", str(limit)),
        logs=dataset / "logs",
        shard=shard,
        limit=limit,
        run=run,
    )


class Worker:
    """Makes the missing files of one stage; holds the stage, and so its networks, all the while.

    Args:
        chain: the dataset and its recipe.
        name: of the stage.
        shard: i of n: where among the clips it begins. What the others have not begun when its own
            share is finished, it makes too.
    """

    def __init__(self, chain: Chain, name: str, *, shard: tuple[int, int] = (0, 1)) -> None:
        self.chain, self.stage = chain, chain.stage(name)
        self.spec, self.run_config = chain.spec(name), chain.recipe.run
        self.ledger = Ledger(chain.dataset, self.spec.name)
        self.earlier = {name: Ledger(chain.dataset, name) for name in self.spec.after}
        share, shares = shard
        clips = list(enumerate(chain.clips))
        own = [clip for index, clip in clips if index % shares == share]
        self.clips = [*own, *(clip for index, clip in clips if index % shares != share)]

    def run(self, *, limit: int | None = None, wanted: Callable[[], bool] = lambda: True) -> int:
        """Make what is missing and can be made; returns how many were made.

        Args:
            limit: make no more than this.
            wanted: asked before each clip; the worker ends where it says no.

        Raises:
            DiskFull: there is no room. ConfigError, MissingDependency: the stage cannot run.
            SystemExit: the process lost its GPU; the clip is noted, and a new worker can go on.
        """
        for ledger in (self.ledger, *self.earlier.values()):
            ledger.refresh()
        waiting, made = deque(self.clips), 0
        while waiting and wanted() and (limit is None or made < limit):
            clip = waiting.popleft()
            status = self.attempt(clip)
            made += status == DONE
            if status == FAILED:
                waiting.append(clip)  # once more, after its neighbours
        return made

    def attempt(self, clip: Clip) -> str | None:
        """Try one clip; returns the status of the row that was written, None where none was."""
        key = self.chain.key(self.spec.name, clip)
        if self._is_settled(clip, key) or not self._is_ready(clip):
            return None
        dataset, expiry_s = self.chain.dataset, self.run_config.lease_s
        with room_for(dataset / LEASES / key), hold(dataset, key, expiry_s) as lease:
            if lease is None:
                return None
            self.ledger.refresh()  # another may have made it since
            if self._is_settled(clip, key):
                return None
            died = lease.orphaned and self._record_failure(clip, key, DIED, wall_s=0.0)
            if died == QUARANTINED:
                return QUARANTINED
            return self._make(clip, key)

    def _is_settled(self, clip: Clip, key: str) -> bool:
        """Whether a clip is made or given up."""
        row = self.ledger.newest.get(key)
        if row is None or row.status == FAILED:
            return False
        return row.status == QUARANTINED or self.chain.path(self.spec.name, clip).exists()

    def _is_ready(self, clip: Clip) -> bool:
        """Whether all files are there that the stage reads of a clip."""
        for name, key in self.chain.inputs(self.spec.name, clip).items():
            row = self.earlier[name].newest.get(key)
            if row is None or row.status != DONE or not self.chain.path(name, clip).exists():
                return False
        return True

    def _make(self, clip: Clip, key: str) -> str | None:
        """Have the stage make a file, give it its place, and write the row."""
        path, started = self.chain.path(self.spec.name, clip), time.monotonic()
        inputs = {name: self.chain.path(name, clip) for name in self.spec.after}
        try:
            with part_of(path) as part:
                told = self.stage.run(Job(clip=clip, inputs=inputs, attempt=self._tried(key)), part)
                facts = json.loads(json.dumps(dict(told)))
                self.ledger.refresh()
                if self._is_settled(clip, key):  # our lease had expired, and another was quicker
                    return None
                stored = settle(part, path)
        except (ConfigError, MissingDependency, DiskFull):
            raise
        except Exception as error:
            wall_s = time.monotonic() - started
            status = self._record_failure(clip, key, traceback.format_exc(), wall_s=wall_s)
            if LOST_GPU in traceback.format_exc():
                sys.exit(f"the worker ends, as its GPU answers no more: {error}")
            return status
        wall_s = time.monotonic() - started
        return self._record(clip, key, DONE, wall_s=wall_s, facts=facts, stored=stored)

    def _tried(self, key: str) -> int:
        """Return how often a key was tried."""
        row = self.ledger.newest.get(key)
        return 0 if row is None or row.status == DONE else row.attempts

    def _record_failure(self, clip: Clip, key: str, error: str, *, wall_s: float) -> str:
        """Write that a clip failed, and whether it is given up."""
        tried = self._tried(key) + 1
        status = QUARANTINED if tried >= self.run_config.attempts else FAILED
        return self._record(clip, key, status, wall_s=wall_s, error=error)

    def _record(
        self,
        clip: Clip,
        key: str,
        status: str,
        *,
        wall_s: float,
        error: str = "",
        facts: Mapping[str, Value] | None = None,
        stored: Stored | None = None,
    ) -> str:
        """Write the row of an attempt; returns its status."""
        spec = self.spec
        row = Row(
            clip_id=clip.clip_id,
            key=key,
            inputs=self.chain.inputs(spec.name, clip),
            parameters_hash=spec.parameters_hash,
            model=spec.model,
            model_sha256=spec.model_sha256,
            licence=spec.licence,
            version=spec.version,
            status=status,
            attempts=self._tried(key) + 1,
            wall_s=wall_s,
            error=error,
            facts=facts or {},
            sha256="" if stored is None else stored.sha256,
            bytes=0 if stored is None else stored.bytes,
        )
        append(self.chain.dataset, spec.name, [row])
        self.ledger.refresh()
        if error:
            told = (spec.name, clip.clip_id, status, row.attempts, row.reason)
            logger.warning("%s %s: %s (attempt %d): %s", *told)
        return status
