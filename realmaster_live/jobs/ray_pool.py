"""Workers as actors of Ray, which places them on machines and GPUs; only names are sent."""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from realmaster_live.errors import RealMasterError
from realmaster_live.jobs.executors import Died, Task
from realmaster_live.optional import require

HEADROOM = 1  # processors beyond the workers' own: Ray places nothing where all are in use


def start(task: Task) -> RayWorker:
    """Start an actor, on the cluster of RAY_ADDRESS or else on one of this machine's own."""
    return RayWorker(task)


class Actor:
    """An actor that is one worker, so that networks are loaded once."""

    def work(self, task: Task) -> int:
        """Work on a share of a job; returns how many things were made."""
        return task.work()


class RayWorker:
    """An actor that was started."""

    def __init__(self, task: Task) -> None:
        self._ray = _connect(task)
        remote = self._ray.remote(num_cpus=task.run.num_cpus, num_gpus=task.run.num_gpus)(Actor)
        self._actor = remote.remote()
        self._made = self._actor.work.remote(task)

    def poll(self) -> bool:
        """Return whether it still works; raises Died, or the error that ended it."""
        ended, _ = self._ray.wait([self._made], timeout=0)
        if not ended:
            return True
        try:
            self._ray.get(self._made)
        except self._ray.exceptions.RayTaskError as error:
            cause = error.cause
            raise (cause if isinstance(cause, RealMasterError) else error) from error
        except self._ray.exceptions.RayActorError as error:
            raise Died(str(error)) from error
        return False

    def stop(self) -> None:
        """Kill it; another worker finds its lease abandoned."""
        self._ray.kill(self._actor)


def _connect(task: Task) -> Any:
    """Return the ray module, connected."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    ray = require("ray", extra="ray")
    if ray.is_initialized():
        return ray
    if "RAY_ADDRESS" in os.environ:
        ray.init(logging_level="warning")
        return ray
    with _sharing_import_path():
        ray.init(
            num_cpus=math.ceil(task.shard[1] * task.run.num_cpus) + HEADROOM,
            include_dashboard=False,
            logging_level="warning",
        )
    return ray


@contextmanager
def _sharing_import_path() -> Iterator[None]:
    """Let processes that are started meanwhile find every module that this one finds."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before
