"""Runs a stage of a dataset to its end, with workers on any executor."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from realmaster_live.jobs.supervisor import Progress, supervise
from realmaster_live.training.pairs.chain import Chain
from realmaster_live.training.pairs.manifest import compact
from realmaster_live.training.pairs.status import StageStatus, read_status
from realmaster_live.training.pairs.work import StageWork, task_of

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
        on_progress: called with the counts, a few times a second.

    Raises:
        DiskFull: there is no room; what is finished stays, and the same call goes on.
        PairError: workers die, or end, without getting anywhere.
        ConfigError, MissingDependency: the stage cannot run.
    """
    work = StageWork(Chain(dataset.resolve()), name)
    compact(work.folder, work.name)
    compacted = work.attempts()

    def look() -> Progress:
        nonlocal compacted
        work.refresh()
        status, attempts = StageStatus.of(work), work.attempts()
        on_progress(status)
        if attempts - compacted >= COMPACT_EACH:
            compact(work.folder, work.name)
            compacted = attempts
        return Progress(ready=status.ready, done=status.done, attempts=attempts)

    task = task_of(work.folder, name, work.config, limit=limit)
    supervise(task, look, executor=executor, workers=workers)
    compact(work.folder, work.name)
    return read_status(work.chain, name)
