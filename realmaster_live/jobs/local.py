"""Workers as processes of this machine."""

from __future__ import annotations

import logging
import os
import signal
import threading
import traceback
from contextlib import suppress
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection
from pathlib import Path

from realmaster_live.errors import PairError, RealMasterError
from realmaster_live.jobs.executors import Died, Task
from realmaster_live.system.termination import termination_raises

GRACE_S = 10.0  # after SIGTERM, to give a lease back before SIGKILL


def start(task: Task) -> LocalWorker:
    """Start a process that is one worker of a job."""
    return LocalWorker(task)


class LocalWorker:
    """A process that was started afresh (spawn): it inherits no threads and no GPU context."""

    def __init__(self, task: Task) -> None:
        context = get_context("spawn")
        self._errors, sender = context.Pipe(duplex=False)
        self._process = context.Process(
            target=_main, args=(task, sender), name=f"{task.name}-{task.shard[0]}", daemon=True
        )
        self._process.start()
        sender.close()

    @property
    def pid(self) -> int | None:
        """Return the process id."""
        return self._process.pid

    def poll(self) -> bool:
        """Return whether it still works; raises Died, or the error that ended it."""
        with suppress(EOFError):
            if self._errors.poll():
                raise self._errors.recv()
        if self._process.is_alive():
            return True
        if self._process.exitcode:
            raise Died(f"{self._process.name} ended with exit status {self._process.exitcode}")
        return False

    def stop(self) -> None:
        """End it by SIGTERM, and by SIGKILL where that does not help."""
        if self._process.is_alive():
            self._process.terminate()
            self._process.join(GRACE_S)
        if self._process.is_alive():
            self._process.kill()
            self._process.join()
        self._errors.close()


def _main(task: Task, errors: Connection) -> None:
    """Work; the error that ends it is sent to the parent.

    SIGTERM is an orderly end: the lease is given back, and no attempt is counted. Ctrl-C reaches
    the whole process group, so it is left to the parent, which ends its workers by SIGTERM.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    _share_machine(*task.shard)
    with termination_raises():
        threading.Thread(target=_end_with_parent, name="parent-watch", daemon=True).start()
        try:
            task.work()
        except RealMasterError as error:
            errors.send(error)
        except Exception as error:
            errors.send(
                PairError(
                    f"expected the worker of {task.name} to run, got {type(error).__name__} "
                    f"({error}): see where it came from\n{traceback.format_exc()}"
                )
            )


def _end_with_parent() -> None:
    """Send this process SIGTERM once its parent is gone, however that ended."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)


def _share_machine(share: int, shares: int) -> None:
    """Give this process its share of the processors and one GPU, unless the environment does."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (cores or 1) // shares)))
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    folder = Path("/proc/driver/nvidia/gpus")
    count = len(list(folder.iterdir())) if folder.is_dir() else 0
    gpus = [str(index) for index in range(count)] if visible is None else visible.split(",")
    if shares > 1 and len(gpus) > 1:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpus[share % len(gpus)]
