"""What runs the workers of a job: processes here, an array of Slurm, or actors of Ray.

An executor only starts workers. None of them is asked to remember, to retry or to resume: the job
does, in its own folder. Each module has a function `start(task) -> Handle`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from realmaster_live.errors import ConfigError
from realmaster_live.jobs.work import RunConfig, Work
from realmaster_live.jobs.worker import Worker

EXECUTORS = {"local": "local", "slurm": "slurm", "ray": "ray_pool"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What one worker is given: names and numbers, and nothing large.

    Attributes:
        name: of the job, for people.
        folder: of the job's leases and logs.
        entry: "module:function" that opens the work in this process or another one: called as
            `function(*arguments, workers=n)`, it returns a context manager of it.
        arguments: names and paths, as every machine sees them.
        command: arguments of `realmaster` that do the same; a batch job adds its --shard.
        shard: i of n: which share of the pieces is the worker's own.
        limit: make no more than this.
        run: how.
    """

    name: str
    folder: Path
    entry: str
    arguments: tuple[str, ...]
    command: tuple[str, ...]
    shard: tuple[int, int] = (0, 1)
    limit: int | None = None
    run: RunConfig = field(default_factory=RunConfig)

    @property
    def logs(self) -> Path:
        """Return the folder of batch scripts and their output."""
        return self.folder / "logs"

    def work(self) -> int:
        """Be the worker, in this process; returns how many pieces were made."""
        module, _, name = self.entry.partition(":")
        function: Callable[..., AbstractContextManager[Work]]
        function = getattr(importlib.import_module(module), name)
        with function(*self.arguments, workers=self.shard[1]) as work:
            return Worker(work, shard=self.shard).run(limit=self.limit)


class Died(Exception):
    """A worker ended without an error of its own: it was killed, or it crashed."""


class Handle(Protocol):
    """A worker that was started, or a whole array of them."""

    def poll(self) -> bool:
        """Return whether it still works; raises Died, or the error that ended it."""

    def stop(self) -> None:
        """End it, with time to give its lease back; may be called twice."""


def starter(name: str) -> Callable[[Task], Handle]:
    """Return what starts a worker on an executor."""
    if name not in EXECUTORS:
        raise ConfigError(
            f"expected an executor among {', '.join(EXECUTORS)}, got {name!r}: name one of them"
        )
    module = importlib.import_module(f"realmaster_live.jobs.{EXECUTORS[name]}")
    start: Callable[[Task], Handle] = module.start
    return start
