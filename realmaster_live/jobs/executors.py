"""Who runs the workers of a job: processes here, an array of Slurm, or actors of Ray.

An executor only starts workers. None of them is asked to remember, to retry or to resume: the job
does, in its own folder. Each module has a function `start(task) -> Handle`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from realmaster_live.errors import ConfigError

EXECUTORS = {"local": "local", "slurm": "slurm", "ray": "ray_pool"}


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """How the work is done; nothing here changes what is made.

    Attributes:
        attempts: how often a thing is tried before it is put in quarantine.
        lease_s: seconds without a sign of life after which what a worker makes is given to another.
        sbatch: options of sbatch, such as "--gres=gpu:1" (slurm).
        num_cpus: processors of a worker (ray). num_gpus: GPUs of a worker (ray).
    """

    attempts: int = 3
    lease_s: float = 120.0
    sbatch: tuple[str, ...] = ()
    num_cpus: float = 1.0
    num_gpus: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What one worker is told; nothing in it is larger than a name.

    Attributes:
        name: of the job, for people.
        entry: "module:function" that does the work in this process or another one: called as
            `function(*arguments, shard=..., limit=..., wanted=...)`.
        arguments: names and paths, as every machine sees them.
        command: what `realmaster` is told to do the same; a batch job adds its --shard.
        logs: folder of batch scripts and what they print.
        shard: i of n: where among the things to make the worker begins.
        limit: make no more than this.
        run: how.
    """

    name: str
    entry: str
    arguments: tuple[str, ...]
    command: tuple[str, ...]
    logs: Path
    shard: tuple[int, int]
    limit: int | None = None
    run: RunConfig = field(default_factory=RunConfig)

    def work(self, wanted: Callable[[], bool] = lambda: True) -> int:
        """Do the work here; returns how many things were made. `wanted` is asked before each."""
        module, _, name = self.entry.partition(":")
        function: Callable[..., int] = getattr(importlib.import_module(module), name)
        return function(*self.arguments, shard=self.shard, limit=self.limit, wanted=wanted)


class Died(Exception):
    """A worker ended without a word: it was killed, or it crashed."""


class Handle(Protocol):
    """A worker that was started, or a whole array of them."""

    def poll(self) -> bool:
        """Return whether it still works; raises Died, or the error that ended it."""

    def stop(self) -> None:
        """End it, giving it the time to tidy up; may be called twice."""


def starter(name: str) -> Callable[[Task], Handle]:
    """Return what starts a worker on an executor."""
    if name not in EXECUTORS:
        raise ConfigError(
            f"expected an executor among {', '.join(EXECUTORS)}, got {name!r}: name one of them"
        )
    module = importlib.import_module(f"realmaster_live.jobs.{EXECUTORS[name]}")
    start: Callable[[Task], Handle] = module.start
    return start
