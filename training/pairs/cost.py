"""Estimates of what a run costs, extrapolated from finished clips."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from realmaster_live.training.pairs.status import StageStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What a stage still has to do.

    Attributes:
        stage: its name.
        make: clips to be made. reuse: clips that are there. given_up: clips in quarantine.
        seconds: of wall clock; None where nothing was measured.
        bytes: of the files still to make; None where nothing was measured.
    """

    stage: str
    make: int
    reuse: int
    given_up: int
    seconds: float | None
    bytes: float | None

    def line(self) -> str:
        """Return the estimate for the terminal."""
        text = f"{self.stage}: {self.make} to make, {self.reuse} reused"
        if self.given_up:
            text += f", {self.given_up} in quarantine"
        if not self.make:
            return text
        if self.seconds is None:
            return f"{text}; time and bytes unknown until one is made"
        return (
            f"{text}; about {duration_text(self.seconds)} and {size_text(self.bytes)}, as measured"
        )


def estimate(status: StageStatus, workers: int) -> Cost:
    """Return what is left of a stage for so many workers."""
    seconds = status.seconds_left
    return Cost(
        stage=status.stage,
        make=status.waiting,
        reuse=status.done,
        given_up=status.quarantined,
        seconds=None if seconds is None else seconds / max(1, min(workers, status.waiting)),
        bytes=status.bytes_left,
    )


def total(costs: Sequence[Cost]) -> Cost:
    """Return the sum of several stages, one after the other; unknown where one of them is."""
    known = [cost for cost in costs if cost.seconds is not None and cost.bytes is not None]
    whole = len(known) == len(costs)
    return Cost(
        stage="in all",
        make=sum(cost.make for cost in costs),
        reuse=sum(cost.reuse for cost in costs),
        given_up=sum(cost.given_up for cost in costs),
        seconds=sum(cost.seconds or 0.0 for cost in known) if whole else None,
        bytes=sum(cost.bytes or 0.0 for cost in known) if whole else None,
    )


def lacks_room(dataset: Path, needed: float | None) -> str | None:
    """Return a warning where the files still to make do not fit on the disk."""
    free = shutil.disk_usage(dataset).free
    if needed is None or needed <= free:
        return None
    return (
        f"about {size_text(needed)} are still to be made and {size_text(free)} are free: "
        "the run will stop when the disk is full, and go on when there is room again"
    )


def duration_text(seconds: float | None) -> str:
    """Return a duration for people, such as 3 h 20 min."""
    if seconds is None:
        return "unknown"
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes} min" if hours else f"{minutes} min"


def size_text(count: float | None) -> str:
    """Return an amount of bytes for people, such as 41 GB."""
    if count is None:
        return "unknown"
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 10 else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
