"""Keeps the workers of a job at work: one that dies is replaced while the job advances."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack

from realmaster_live.errors import PairError
from realmaster_live.jobs.executors import Died, Handle, Task, starter
from realmaster_live.system.termination import termination_raises

POLL_S = 0.25


def run_crew(
    tasks: Sequence[Task],
    executor: str,
    *,
    attempts: Callable[[], int],
    on_look: Callable[[], object],
) -> None:
    """Run one worker a task to its end.

    Args:
        tasks: one a worker; an array of Slurm is one task.
        executor: "local", "slurm" or "ray".
        attempts: how many the job has seen so far: where they grow, the work advances.
        on_look: called a few times a second, and at the end, before `attempts`.

    Raises:
        PairError: workers die without getting anywhere. Any other error is a worker's own.
    """
    start, patience = starter(executor), tasks[0].run.attempts
    crew: dict[int, Handle] = {}
    known, deaths = attempts(), 0  # deaths since the job last advanced

    def stop_all() -> None:
        for worker in crew.values():
            worker.stop()

    with termination_raises(), ExitStack() as exits:
        exits.callback(stop_all)
        crew |= {index: start(task) for index, task in enumerate(tasks)}
        while crew:
            on_look()
            if attempts() != known:
                known, deaths = attempts(), 0
            for index, worker in list(crew.items()):
                try:
                    if not worker.poll():
                        crew.pop(index).stop()
                except Died as error:
                    deaths += 1
                    if deaths > patience:
                        command = " ".join(("realmaster", *tasks[index].command))
                        raise PairError(
                            f"expected the workers of {tasks[0].name} to live, got {deaths} that "
                            f"died at once ({error}): run one by itself to see why, {command} "
                            "--shard 0/1"
                        ) from error
                    crew.pop(index).stop()
                    crew[index] = start(tasks[index])
            time.sleep(POLL_S)
    on_look()
