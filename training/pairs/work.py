"""A stage of a dataset as work for the job engine: each piece is the file it makes of one clip.

The file lies in the store under its key, and the row in the manifest is the commit: a file without
a row is made again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from realmaster_live.jobs.executors import Task
from realmaster_live.jobs.work import (
    BLOCKED,
    DONE,
    FAILED,
    QUARANTINED,
    WAITING,
    Attempt,
    PieceState,
    RunConfig,
    Status,
)
from realmaster_live.training.pairs.chain import Chain
from realmaster_live.training.pairs.manifest import Ledger, Row, append
from realmaster_live.training.pairs.stage import Clip, Job, Value


class StageWork:
    """The files of one stage; holds the stage, and so its networks, all the while.

    Args:
        chain: the dataset and its recipe.
        name: of the stage.
    """

    def __init__(self, chain: Chain, name: str) -> None:
        self.chain, self.spec = chain, chain.spec(name)
        self.name = self.spec.name
        self.clips = {chain.key(name, clip): clip for clip in chain.clips}
        self.ledgers = {each: Ledger(chain.dataset, each) for each in (self.name, *self.spec.after)}
        self._checked: dict[str, tuple[float, bool]] = {}  # key -> time of its row, file is there
        self.refresh()

    @property
    def folder(self) -> Path:
        """The folder of the dataset, which holds the leases."""
        return self.chain.dataset

    @property
    def config(self) -> RunConfig:
        """How the work is done."""
        return self.chain.recipe.run

    @property
    def keys(self) -> Sequence[str]:
        """The keys of the files, in the order of the plan."""
        return tuple(self.clips)

    def refresh(self) -> None:
        """Read the rows that other processes have written."""
        for ledger in self.ledgers.values():
            ledger.refresh()

    def row(self, clip: Clip) -> Row | None:
        """Return the newest row of a clip; None where there is none, or its file is gone."""
        row = self.ledgers[self.name].newest.get(self.chain.key(self.name, clip))
        return row if row is None or row.status != DONE or self._is_made(self.name, clip) else None

    def status(self, clip: Clip) -> Status:
        """Return where the file of a clip stands."""
        row = self.row(clip)
        if row is not None and row.status in (DONE, QUARANTINED):
            return row.status
        if not all(self._is_made(earlier, clip) for earlier in self.spec.after):
            return BLOCKED
        return WAITING if row is None else FAILED

    def look(self, key: str, *, fresh: bool = False) -> PieceState:
        """Return what is known of a file."""
        if fresh:
            self.ledgers[self.name].refresh()
        clip = self.clips[key]
        row = self.row(clip)
        return PieceState(
            name=clip.clip_id,
            path=self.chain.path(self.name, clip),
            status=self.status(clip),
            failures=0 if row is None or row.status == DONE else row.attempts,
        )

    def make(self, key: str, part: Path) -> Mapping[str, Value]:
        """Have the stage make a file."""
        clip = self.clips[key]
        inputs = {earlier: self.chain.path(earlier, clip) for earlier in self.spec.after}
        job = Job(clip=clip, inputs=inputs, attempt=self.look(key).failures)
        facts = self.chain.stage(self.name).run(job, part)
        json.dumps(dict(facts))  # or its error, before the file is published
        return facts

    def record(self, key: str, attempt: Attempt) -> None:
        """Append the row of an attempt."""
        spec, clip, stored = self.spec, self.clips[key], attempt.stored
        row = Row(
            clip_id=clip.clip_id,
            key=key,
            inputs=self.chain.inputs(self.name, clip),
            parameters_hash=spec.parameters_hash,
            model=spec.model,
            model_sha256=spec.model_sha256,
            licence=spec.licence,
            version=spec.version,
            status=attempt.status,
            attempts=attempt.number,
            wall_s=attempt.wall_s,
            error=attempt.error,
            facts=attempt.facts,
            sha256="" if stored is None else stored.sha256,
            bytes=0 if stored is None else stored.bytes,
        )
        append(self.chain.dataset, self.name, [row])
        self.ledgers[self.name].refresh()

    def attempts(self) -> int:
        """Return how many attempts the manifest knew of when it was last read."""
        return sum(row.attempts for row in self.ledgers[self.name].newest.values())

    def _is_made(self, stage: str, clip: Clip) -> bool:
        """Whether a file is there; looked up on the disk once for every new row."""
        row = self.ledgers[stage].newest.get(self.chain.key(stage, clip))
        if row is None or row.status != DONE:
            return False
        written_s, there = self._checked.get(row.key, (None, False))
        if written_s != row.written_s:
            there = self.chain.path(stage, clip).exists()
            self._checked[row.key] = row.written_s, there
        return there


def release_quarantined(chain: Chain, stage: str) -> int:
    """Take the clips of a stage out of quarantine, with no attempt counted; returns how many."""
    given_up = [row for row in chain.rows(stage).values() if row.status == QUARANTINED]
    again = [replace(row, status=FAILED, attempts=0, written_s=time.time()) for row in given_up]
    if again:
        append(chain.dataset, chain.spec(stage).name, again)
    return len(again)


@contextmanager
def open_stage(dataset: str, stage: str, *, workers: int = 1) -> Iterator[StageWork]:
    """Yield the work of a stage, as an executor opens it; `workers` changes nothing here."""
    yield StageWork(Chain(Path(dataset)), stage)


def task_of(dataset: Path, stage: str, run: RunConfig, *, limit: int | None = None) -> Task:
    """Return the task of one worker of a stage."""
    dataset = dataset.resolve()  # a worker may have another working directory
    command = ("pairs", "work", str(dataset), "--stage", stage)
    return Task(
        name=stage,
        folder=dataset,
        entry=f"{__name__}:{open_stage.__name__}",
        arguments=(str(dataset), stage),
        command=command if limit is None else (*command, "--limit", str(limit)),
        limit=limit,
        run=run,
    )
