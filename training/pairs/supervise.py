"""Keeps the workers of a stage going until nothing is left that can be made."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from realmaster_live.errors import PairError
from realmaster_live.jobs.leases import BEATS, LEASES
from realmaster_live.jobs.supervisor import run_crew
from realmaster_live.training.pairs.chain import Chain
from realmaster_live.training.pairs.manifest import compact
from realmaster_live.training.pairs.runner import task_of
from realmaster_live.training.pairs.status import StageStatus, Watch

COMPACT_EACH = 512  # attempts; each leaves a part file that every other worker reads


def run_stage(
    dataset: Path,
    name: str,
    *,
    executor: str = "local",
    workers: int = 1,
    limit: int | None = None,
    on_progress: Callable[[StageStatus], object] = lambda status: None,
) -> StageStatus:
    """Make what a stage lacks; returns its counts at the end.

    Args:
        dataset: its folder.
        name: of the stage.
        executor: "local", "slurm" or "ray".
        workers: how many at once.
        limit: make no more clips than this, with one worker.
        on_progress: told the counts, a few times a second.

    Raises:
        DiskFull: there is no room; what is finished stays, and the same call goes on.
        PairError: workers die, or end, without getting anywhere.
        ConfigError, MissingDependency: the stage cannot run.
    """
    dataset = dataset.resolve()
    chain = Chain(dataset)
    watch = Watch(chain, name)
    status = watch.look()
    compact(dataset, status.stage)
    run = chain.recipe.run
    while status.ready:
        before = watch.attempts()
        count = 1 if limit is not None else min(workers, status.ready)
        tasks = [
            task_of(dataset, name, run, shard=(share, count), limit=limit) for share in range(count)
        ]
        look = _Look(dataset, watch, on_progress)
        crew = tasks[:1] if executor == "slurm" else tasks
        run_crew(crew, executor, attempts=watch.attempts, on_look=look)
        status = look.status
        if limit is not None:
            break
        if status.ready and watch.attempts() == before:
            held = any((dataset / LEASES).glob("*.json"))  # by another run: wait for it
            time.sleep(run.lease_s / BEATS)
            status = watch.look()
            if status.ready and watch.attempts() == before and not held:
                raise PairError(
                    f"expected {status.ready} clips of {status.stage} to be made, got no attempt: "
                    "files of an earlier stage have gone, so run that stage again"
                )
    compact(dataset, status.stage)
    return status


class _Look:
    """Tells how far a stage is, and compacts what its workers append."""

    def __init__(
        self, dataset: Path, watch: Watch, on_progress: Callable[[StageStatus], object]
    ) -> None:
        self.dataset, self.watch, self.on_progress = dataset, watch, on_progress
        self.status = watch.look()
        self._compacted = watch.attempts()

    def __call__(self) -> None:
        self.status = self.watch.look()
        self.on_progress(self.status)
        if self.watch.attempts() - self._compacted >= COMPACT_EACH:
            compact(self.dataset, self.status.stage)
            self._compacted = self.watch.attempts()
