"""Keeps the workers of a stage going until nothing is left that can be made."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from realmaster_live.errors import PairError
from realmaster_live.training.pairs.chain import Chain
from realmaster_live.training.pairs.executors import Died, Handle, Task, starter
from realmaster_live.training.pairs.leases import BEATS, LEASES
from realmaster_live.training.pairs.manifest import compact
from realmaster_live.training.pairs.status import StageStatus, Watch

POLL_S = 0.25
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
    dataset = dataset.resolve()  # a worker may have another working directory
    chain = Chain(dataset)
    watch = Watch(chain, name)
    status = watch.look()
    compact(dataset, status.stage)
    run = chain.recipe.run
    while status.ready:
        before = watch.attempts()
        count = 1 if limit is not None else min(workers, status.ready)
        tasks = [
            Task(dataset=dataset, stage=name, shard=(share, count), limit=limit, run=run)
            for share in range(count)
        ]
        status = _crew(tasks[:1] if executor == "slurm" else tasks, executor, watch, on_progress)
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


def _crew(
    tasks: list[Task], executor: str, watch: Watch, on_progress: Callable[[StageStatus], object]
) -> StageStatus:
    """Run one worker a task to its end; one that dies is replaced while the work advances."""
    start, patience = starter(executor), tasks[0].run.attempts
    crew: dict[int, Handle] = {}
    deaths = 0  # since the manifest last grew
    known = compacted = watch.attempts()
    try:
        crew |= {index: start(task) for index, task in enumerate(tasks)}
        while crew:
            status = watch.look()
            on_progress(status)
            if watch.attempts() != known:
                known, deaths = watch.attempts(), 0
            if known - compacted >= COMPACT_EACH:
                compact(tasks[0].dataset, status.stage)
                compacted = known
            for index, worker in list(crew.items()):
                try:
                    if not worker.poll():
                        crew.pop(index).stop()
                except Died as error:
                    deaths += 1
                    if deaths > patience:
                        raise PairError(
                            f"expected the workers of {watch.name} to live, got {deaths} that died "
                            f"at once ({error}): run one by itself to see why, realmaster pairs "
                            f"work {tasks[0].dataset} --stage {watch.name} --shard 0/1"
                        ) from error
                    crew.pop(index).stop()
                    crew[index] = start(tasks[index])
            time.sleep(POLL_S)
    finally:
        for worker in crew.values():
            worker.stop()
    status = watch.look()
    on_progress(status)
    return status
