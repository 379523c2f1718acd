"""How far a dataset is: clips per stage, and how long the rest takes as measured so far."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from realmaster_live.training.pairs.chain import Chain
from realmaster_live.training.pairs.manifest import DONE, FAILED, QUARANTINED, Ledger, Row
from realmaster_live.training.pairs.stage import Clip


@dataclass(frozen=True, slots=True, kw_only=True)
class StageStatus:
    """The clips of one stage, counted.

    Attributes:
        stage: its name.
        clips: all of them. done, failed, quarantined: those with a row that says so.
        ready: not made yet, and all that the stage reads is there (failed ones too).
        blocked: not made, and something that the stage reads is missing.
        bytes: of the files that are there.
        seconds_left: of one worker, for what waits; None where nothing was measured yet.
        bytes_left: of the files to come; None where nothing was measured yet.
        errors: clip_id -> reason, of failed and quarantined clips.
    """

    stage: str
    clips: int
    done: int
    failed: int
    quarantined: int
    ready: int
    blocked: int
    bytes: int
    seconds_left: float | None
    bytes_left: float | None
    errors: dict[str, str]

    @property
    def waiting(self) -> int:
        """Return how many clips have no file yet and have not been given up."""
        return self.clips - self.done - self.quarantined


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
        made: list[tuple[Clip, Row]] = []
        waiting: list[Clip] = []
        errors: dict[str, str] = {}
        done = failed = quarantined = ready = 0
        for clip in chain.clips:
            row = self._ledger.newest.get(chain.key(self.name, clip))
            status = None if row is None or self._is_gone(row) else row.status
            if row is not None and status == DONE:
                made.append((clip, row))
            elif row is not None and status is not None:
                errors[clip.clip_id] = row.reason
            done += status == DONE
            failed += status == FAILED
            quarantined += status == QUARANTINED
            if status not in (DONE, QUARANTINED):
                waiting.append(clip)
                inputs = chain.inputs(self.name, clip).items()
                ready += all(self._is_there(earlier, key) for earlier, key in inputs)
        return StageStatus(
            stage=spec.name,
            clips=len(chain.clips),
            done=done,
            failed=failed,
            quarantined=quarantined,
            ready=ready,
            blocked=len(chain.clips) - done - quarantined - ready,
            bytes=sum(row.bytes for _, row in made),
            seconds_left=_to_come([(clip, row.wall_s) for clip, row in made], waiting),
            bytes_left=_to_come([(clip, row.bytes) for clip, row in made], waiting),
            errors=errors,
        )

    def attempts(self) -> int:
        """Return how many attempts the manifest knew of at the last look."""
        return sum(row.attempts for row in self._ledger.newest.values())

    def _look_for_files(self) -> None:
        """Note the rows whose file was removed: their clips have to be made again."""
        ledgers = {**self._earlier, self.chain.spec(self.name).name: self._ledger}
        for name, ledger in ledgers.items():
            for clip in self.chain.clips:
                row = ledger.newest.get(self.chain.key(name, clip))
                if row and row.status == DONE and not self.chain.path(name, clip).exists():
                    self._gone[row.key] = row.written_s
        self._looked = True

    def _is_gone(self, row: Row) -> bool:
        return self._gone.get(row.key) == row.written_s

    def _is_there(self, earlier: str, key: str) -> bool:
        row = self._earlier[earlier].newest.get(key)
        return row is not None and row.status == DONE and not self._is_gone(row)


def _to_come(measured: Sequence[tuple[Clip, float]], waiting: Sequence[Clip]) -> float | None:
    """Return what the waiting clips cost: the median cost of a pixel, times their pixels."""
    if not waiting:
        return 0.0
    if not measured:
        return None
    return statistics.median(c / _pixels(clip) for clip, c in measured) * sum(map(_pixels, waiting))


def _pixels(clip: Clip) -> int:
    return clip.frames * clip.width * clip.height


def read_status(chain: Chain, names: Sequence[str]) -> list[StageStatus]:
    """Return the counts of several stages."""
    return [Watch(chain, name).look() for name in names]
