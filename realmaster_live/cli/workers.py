"""The options of a job that several workers share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from realmaster_live.cli.values import Count


@dataclass(frozen=True, kw_only=True)
class WorkerOptions:
    """Workers that share the job.

    Attributes:
        executor: What runs the workers: processes of this machine, Slurm or Ray.
        workers: How many workers there are.
        retry: Try again what is in quarantine after too many failed attempts.
    """

    executor: Literal["local", "slurm", "ray"] = "local"
    workers: Count = 1
    retry: bool = False
