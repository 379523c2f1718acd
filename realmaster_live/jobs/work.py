"""The work of a job: pieces, each known by a key, and the outcome of the attempts at each."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

from realmaster_live.system.atomic_files import Stored

Status = Literal["done", "failed", "quarantined", "waiting", "blocked"]
DONE: Status = "done"  # made, and in its place
FAILED: Status = "failed"  # at least one attempt failed, and another one follows
QUARANTINED: Status = "quarantined"  # given up after too many failed attempts
WAITING: Status = "waiting"  # not yet attempted
BLOCKED: Status = "blocked"  # not yet attempted, and something that it is made of is missing
OWN_ERROR = re.compile(r"^realmaster_live\.errors\.\w+: ")


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """How the work is done; nothing here changes what is made.

    Attributes:
        attempts: failed attempts after which a piece is put in quarantine.
        lease_s: seconds without a heartbeat after which a worker's piece is given to another.
        sbatch: options of sbatch, such as "--gres=gpu:1" (slurm).
        num_cpus: processors of a worker (ray). num_gpus: GPUs of a worker (ray).
    """

    attempts: int = 3
    lease_s: float = 120.0
    sbatch: tuple[str, ...] = ()
    num_cpus: float = 1.0
    num_gpus: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PieceState:
    """What is known of one piece of a job.

    Attributes:
        name: what people call it.
        status: where it stands.
        path: the file or folder that it becomes.
        failures: failed attempts so far.
    """

    name: str
    status: Status
    path: Path
    failures: int = 0

    @property
    def ready(self) -> bool:
        """Whether it can be made now."""
        return self.status in (WAITING, FAILED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One attempt at a piece, and its outcome.

    Attributes:
        status: of the piece after it: done, failed or quarantined.
        number: 1 for the first attempt.
        wall_s: seconds that it took.
        error: traceback, or "".
        facts: what `Work.make` returned.
        stored: the file that was published; None for a folder.
    """

    status: Status
    number: int
    wall_s: float = 0.0
    error: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    stored: Stored | None = None


class Work(Protocol):
    """The pieces of a job. Everything that lasts is on the disk: any worker may end at any time."""

    @property
    def name(self) -> str:
        """The job's name, for people."""

    @property
    def folder(self) -> Path:
        """The folder of the job's leases."""

    @property
    def config(self) -> RunConfig:
        """How the work is done."""

    @property
    def keys(self) -> Sequence[str]:
        """The keys of all pieces, in order; each is a plain file name."""

    def look(self, key: str, *, fresh: bool = False) -> PieceState:
        """Return what is known of a piece; `fresh`: with what other workers have just recorded."""

    def make(self, key: str, part: Path) -> Mapping[str, Any]:
        """Make a piece at `part`, and return facts about it that JSON can hold."""

    def record(self, key: str, attempt: Attempt) -> None:
        """Record the outcome of an attempt; a piece that is done is in its place already."""


def reason_of(error: str) -> str:
    """Return the last line of a traceback; an error of our own needs no class name."""
    return OWN_ERROR.sub("", error.strip().rpartition("\n")[2])
