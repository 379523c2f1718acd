"""Who runs the workers of a stage: processes here, an array of Slurm, or actors of Ray.

An executor only starts workers. None of them is asked to remember, to retry or to resume: the
manifest does. Each module has a function `start(task) -> Handle`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from realmaster_live.errors import ConfigError
from realmaster_live.training.pairs.recipe import RunConfig

EXECUTORS = {"local": "local", "slurm": "slurm", "ray": "ray_pool"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What one worker is told; nothing in it is larger than a name.

    Attributes:
        dataset: its folder, as every machine sees it.
        stage: name of the stage.
        shard: i of n: where among the clips the worker begins.
        limit: make no more clips than this.
        run: options of the recipe's table [run].
    """

    dataset: Path
    stage: str
    shard: tuple[int, int]
    limit: int | None = None
    run: RunConfig


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
    module = importlib.import_module(f"{__name__}.{EXECUTORS[name]}")
    start: Callable[[Task], Handle] = module.start
    return start
