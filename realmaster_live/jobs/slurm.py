"""Workers as tasks of a Slurm array: each runs one worker on its share."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys

from realmaster_live.errors import ConfigError, PairError
from realmaster_live.jobs.executors import Task
from realmaster_live.system.atomic_files import write_text

WARNING_S = 60  # before the time limit: enough to give a lease back


def start(task: Task) -> SlurmArray:
    """Submit the array of all shares; `task.shard` holds their number."""
    return SlurmArray(task)


def script(task: Task) -> str:
    """Return the batch script of an array."""
    shares = task.shard[1]
    command = [sys.executable, "-m", "realmaster_live", *task.command]
    options = [
        f"--job-name=realmaster-{task.name}",
        f"--array=0-{shares - 1}",
        f"--output={task.logs.resolve()}/{task.name}-%A-%a.log",
        f"--signal=B:TERM@{WARNING_S}",
        *task.run.sbatch,
    ]
    lines = ["#!/bin/bash", *(f"#SBATCH {option}" for option in options), ""]
    lines.append(f'exec {shlex.join(command)} --shard "$SLURM_ARRAY_TASK_ID/{shares}"')
    return "\n".join(lines) + "\n"


class SlurmArray:
    """An array job that was submitted; it outlives the process that submitted it."""

    def __init__(self, task: Task) -> None:
        sbatch = shutil.which("sbatch")
        if sbatch is None:
            raise ConfigError(
                "expected the command sbatch of Slurm, got none on PATH: run this on a machine "
                "that submits jobs, or take --executor local"
            )
        self._logs = task.logs.resolve()
        self._logs.mkdir(parents=True, exist_ok=True)
        path = self._logs / f"{task.name}.sbatch"
        write_text(path, script(task))
        self._name = task.name
        self._waiting = subprocess.Popen(
            [sbatch, "--wait", str(path)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def poll(self) -> bool:
        """Return whether the array is queued or runs; raises PairError where a task failed."""
        status = self._waiting.poll()
        if status:
            output = self._output().rpartition("\n")[2]
            raise PairError(
                f"expected the array job of {self._name} to succeed, got exit status {status} "
                f"({output}): read {self._logs}, and run the same command again to go on"
            )
        return status is None

    def stop(self) -> None:
        """Stop waiting for it."""
        if self._waiting.poll() is None:
            self._waiting.terminate()
            self._waiting.wait()
        if self._waiting.stderr is not None:
            self._waiting.stderr.close()

    def _output(self) -> str:
        """Return what sbatch printed to stderr."""
        return "" if self._waiting.stderr is None else self._waiting.stderr.read().strip()
