"""Keeps the workers of a job running until nothing is left that can be made."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

from realmaster_live.errors import PairError
from realmaster_live.jobs.executors import Died, Handle, Task, starter
from realmaster_live.jobs.leases import BEATS, LEASES
from realmaster_live.system.termination import termination_raises

POLL_S = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a job is.

    Attributes:
        ready: pieces that can be made now.
        done: pieces that are made.
        attempts: all that were recorded so far, failed or not: where they grow, the work advances.
    """

    ready: int
    done: int
    attempts: int


def supervise(
    task: Task, look: Callable[[], Progress], *, executor: str = "local", workers: int = 1
) -> None:
    """Have workers make every piece that can be made, or as many as the task's limit says.

    Args:
        task: of any worker; each gets a shard of its own.
        look: counts how far the job is; called a few times a second, and at the end.
        executor: "local", "slurm" or "ray".
        workers: how many at once; one where there is a limit.

    Raises:
        PairError: workers die, or end, without getting anywhere. Any other error is a worker's own.
    """
    progress = look()
    while progress.ready:
        before = progress.attempts
        count = 1 if task.limit is not None else min(workers, progress.ready)
        tasks = [replace(task, shard=(share, count)) for share in range(count)]
        _run_to_the_end(tasks[:1] if executor == "slurm" else tasks, executor, look)
        progress = look()
        if task.limit is not None:
            return
        if progress.ready and progress.attempts == before:
            held = any((task.folder / LEASES).glob("*.json"))  # by another run: wait for it
            time.sleep(task.run.lease_s / BEATS)
            progress = look()
            if progress.ready and progress.attempts == before and not held:
                raise PairError(
                    f"expected {progress.ready} pieces of {task.name} to be made, got no attempt: "
                    f"their inputs are missing, or see {task.folder} for what workers report"
                )


def _run_to_the_end(tasks: Sequence[Task], executor: str, look: Callable[[], Progress]) -> None:
    """Run one worker for each task (an array of Slurm is one task); replace those that die."""
    start, patience = starter(executor), tasks[0].run.attempts
    running: dict[int, Handle] = {}
    before = look()
    known, deaths = before.attempts, 0  # deaths since the job last advanced

    def what_is_left(task: Task) -> Task | None:
        """Return what a worker does in a dead one's place; None where nothing is left."""
        if task.limit is None:
            return task
        limit = task.limit - (look().done - before.done)
        return replace(task, limit=limit) if limit > 0 else None

    def stop_all() -> None:
        for worker in running.values():
            worker.stop()

    with termination_raises(), ExitStack() as exits:
        exits.callback(stop_all)
        for index, task in enumerate(tasks):
            running[index] = start(task)
        while running:
            attempts = look().attempts
            if attempts != known:
                known, deaths = attempts, 0
            for index, worker in list(running.items()):
                try:
                    if not worker.poll():
                        running.pop(index).stop()
                except Died as error:
                    deaths += 1
                    if deaths > patience:
                        command = " ".join(("realmaster", *tasks[index].command))
                        raise PairError(
                            f"expected the workers of {tasks[0].name} to live, got {deaths} deaths "
                            f"in a row ({error}): run one by itself to see why, {command} "
                            "--shard 0/1"
                        ) from error
                    running.pop(index).stop()
                    if (left := what_is_left(tasks[index])) is not None:
                        running[index] = start(left)
            if running:
                time.sleep(POLL_S)
