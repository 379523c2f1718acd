"""How far a dataset is: clips per stage, and how long the rest takes as measured so far."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from realmaster_live.training.pairs.chain import Chain
from realmaster_live.training.pairs.manifest import DONE, FAILED, QUARANTINED, Ledger, Row


@dataclass(frozen=True, slots=True, kw_only=True)
class StageStatus:
    """The clips of one stage, counted.

    Attributes:
        stage: its name.
        clips: all of them. done, failed, quarantined: those with a row that says so.
        ready: not made yet, and all that the stage reads is there (failed ones too).
        blocked: not made, and something that the stage reads is missing.
        wall_s: measured seconds a clip (median), None where nothing was measured.
        bytes: of the files that are there.
        bytes_each: measured bytes a clip (mean), None where nothing was measured.
        errors: clip_id -> last line of the traceback, of failed and quarantined clips.
    """

    stage: str
    clips: int
    done: int
    failed: int
    quarantined: int
    ready: int
    blocked: int
    wall_s: float | None
    bytes: int
    bytes_each: float | None
    errors: dict[str, str]

    @property
    def waiting(self) -> int:
        """Return how many clips have no file yet and have not been given up."""
        return self.clips - self.done - self.quarantined

    def seconds_left(self, workers: int = 1) -> float | None:
        """Return the wall-clock seconds that what waits takes; None where nobody knows."""
        if not self.waiting:
            return 0.0
        return None if self.wall_s is None else self.waiting * self.wall_s / workers


class Watch:
    """Counts the clips of a stage, again and again; each look reads only what is new."""

    def __init__(self, chain: Chain, name: str) -> None:
        self.chain, self.name = chain, name
        spec = chain.spec(name)
        self._ledger = Ledger(chain.dataset, spec.name)
        self._earlier = {earlier: Ledger(chain.dataset, earlier) for earlier in spec.after}
        self._gone: dict[str, float] = {}  # key -> when the row was written whose file is gone
        self._looked = False

    def look(self) -> StageStatus:
        """Return the counts as they are now."""
        chain, spec = self.chain, self.chain.spec(self.name)
        for ledger in (self._ledger, *self._earlier.values()):
            ledger.refresh()
        if not self._looked:
            self._look_for_files()
        found: list[Row] = []
        done = failed = quarantined = ready = 0
        for clip in chain.clips:
            row = self._ledger.newest.get(chain.key(self.name, clip))
            status = None if row is None or self._is_gone(row) else row.status
            if row is not None and status is not None:
                found.append(row)
            done += status == DONE
            failed += status == FAILED
            quarantined += status == QUARANTINED
            if status not in (DONE, QUARANTINED):
                inputs = chain.inputs(self.name, clip).items()
                ready += all(self._is_there(earlier, key) for earlier, key in inputs)
        made = [row for row in found if row.status == DONE]
        measured = made or [
            row
            for row in self._ledger.newest.values()
            if row.status == DONE and row.parameters_hash == spec.parameters_hash
        ]
        return StageStatus(
            stage=spec.name,
            clips=len(chain.clips),
            done=done,
            failed=failed,
            quarantined=quarantined,
            ready=ready,
            blocked=len(chain.clips) - done - quarantined - ready,
            wall_s=statistics.median(row.wall_s for row in measured) if measured else None,
            bytes=sum(row.bytes for row in made),
            bytes_each=statistics.fmean(row.bytes for row in measured) if measured else None,
            errors={
                row.clip_id: row.error.strip().rpartition("\n")[2]
                for row in found
                if row.status != DONE
            },
        )

    def attempts(self) -> int:
        """Return how many attempts the manifest knew of at the last look."""
        return sum(row.attempts for row in self._ledger.newest.values())

    def _look_for_files(self) -> None:
        """Note the rows whose file was removed: their clips have to be made again."""
        for clip in self.chain.clips:
            row = self._ledger.newest.get(self.chain.key(self.name, clip))
            if row and row.status == DONE and not self.chain.path(self.name, clip).exists():
                self._gone[row.key] = row.written_s
        self._looked = True

    def _is_gone(self, row: Row) -> bool:
        return self._gone.get(row.key) == row.written_s

    def _is_there(self, earlier: str, key: str) -> bool:
        row = self._earlier[earlier].newest.get(key)
        return row is not None and row.status == DONE


def read_status(chain: Chain, names: Sequence[str]) -> list[StageStatus]:
    """Return the counts of several stages."""
    return [Watch(chain, name).look() for name in names]


def worded(seconds: float | None) -> str:
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


def worded_bytes(count: float | None) -> str:
    """Return an amount of bytes for people, such as 41 GB."""
    if count is None:
        return "unknown"
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" or count >= 10 else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
