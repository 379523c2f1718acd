"""Progress of a dataset: clips per stage, and the time left, extrapolated from finished clips."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from realmaster_live.jobs.work import BLOCKED, DONE, FAILED, QUARANTINED, WAITING
from realmaster_live.training.pairs.chain import Chain
from realmaster_live.training.pairs.stage import Clip
from realmaster_live.training.pairs.work import StageWork


@dataclass(frozen=True, slots=True, kw_only=True)
class StageStatus:
    """The clips of one stage, counted.

    Attributes:
        stage: its name.
        clips: all of them. done, failed, quarantined: by their newest row.
        ready: not made yet, and all that the stage reads is there (failed ones too).
        blocked: not made, and something that the stage reads is missing.
        bytes: of the files that are there.
        seconds_left: of one worker, for the waiting clips; None before the first is finished.
        bytes_left: of the files still to make; None before the first is finished.
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

    @classmethod
    def of(cls, work: StageWork) -> StageStatus:
        """Count the clips of a stage by the rows that were read last."""
        clips = work.chain.clips
        rows = [(clip, work.row(clip)) for clip in clips]
        made = [(clip, row) for clip, row in rows if row and row.status == DONE]
        bad = [(clip, row) for clip, row in rows if row and row.status != DONE]
        statuses = Counter(work.status(clip) for clip in clips)
        unmade = [clip for clip, row in rows if not row or row.status == FAILED]
        return cls(
            stage=work.name,
            clips=len(clips),
            done=len(made),
            failed=sum(row.status == FAILED for _, row in bad),
            quarantined=statuses[QUARANTINED],
            ready=statuses[WAITING] + statuses[FAILED],
            blocked=statuses[BLOCKED],
            bytes=sum(row.bytes for _, row in made),
            seconds_left=_extrapolated([(clip, row.wall_s) for clip, row in made], unmade),
            bytes_left=_extrapolated([(clip, row.bytes) for clip, row in made], unmade),
            errors={clip.clip_id: row.reason for clip, row in bad},
        )

    @property
    def waiting(self) -> int:
        """Return how many clips have no file yet and have not been given up."""
        return self.clips - self.done - self.quarantined


def read_status(chain: Chain, name: str) -> StageStatus:
    """Return the counts of a stage as they are now."""
    return StageStatus.of(StageWork(chain, name))


def _extrapolated(measured: Sequence[tuple[Clip, float]], waiting: Sequence[Clip]) -> float | None:
    """Return the cost of the waiting clips: the median cost of a pixel, times their pixels."""
    if not waiting:
        return 0.0
    if not measured:
        return None
    return statistics.median(c / _pixels(clip) for clip, c in measured) * sum(map(_pixels, waiting))


def _pixels(clip: Clip) -> int:
    return clip.frames * clip.width * clip.height
