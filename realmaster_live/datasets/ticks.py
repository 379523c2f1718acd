"""The frames of all cameras of a drive, tick by tick, and a clock that never runs backwards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple

from realmaster_live.datasets.rules import exclusion_reason
from realmaster_live.datasets.selection import Drive, Selection
from realmaster_live.recording.sample import Sample

UNMATCHED = "not in every camera"
GAP_US = 1_000_000  # between two stretches on the rising clock


class Tick(NamedTuple):
    """The frames of one simulator tick.

    Attributes:
        stretch: counts how often the simulation's clock or frame number fell before.
        samples: one a camera, in the drive's order, all of one frame number.
    """

    stretch: int
    samples: tuple[Sample, ...]


def ticks(
    drive: Drive,
    selection: Selection,
    streams: Collection[str] = (),
    *,
    left_out: Counter[str] | None = None,
) -> Iterator[Tick]:
    """Yield the ticks of which every camera has a frame, in order.

    Args:
        drive: what to read.
        selection: its pictures and rules.
        streams: labels to decode.
        left_out: counts the pictures that are not given, by reason.

    A tick is left out whole where the gate or the rules reject the picture of one camera.
    """
    reasons: Counter[str] = Counter() if left_out is None else left_out
    players = [in_stretches(drive.samples(one, selection, streams)) for one in drive.cameras]
    heads = [next(player, None) for player in players]
    while all(head is not None for head in heads):
        there = [head for head in heads if head is not None]
        keys = [(stretch, sample.frame.frame_id) for stretch, sample in there]
        newest = max(keys)
        behind = [place for place, key in enumerate(keys) if key < newest]
        samples = tuple(sample for _, sample in there)
        reason = next(filter(None, (exclusion_reason(one, selection.rules) for one in samples)), "")
        if behind:
            reasons[UNMATCHED] += len(behind)
        elif reason:
            reasons[reason] += len(there)
        else:
            yield Tick(newest[0], samples)
        for place in behind or range(len(players)):
            heads[place] = next(players[place], None)
    rest = sum(head is not None for head in heads)
    rest += sum(1 for player in players for _ in player)
    if rest:
        reasons[UNMATCHED] += rest


def in_stretches(samples: Iterable[Sample]) -> Iterator[tuple[int, Sample]]:
    """Yield each frame of a camera with its stretch: a reloaded world's clock begins anew."""
    stretch, last = 0, None
    for sample in samples:
        now = sample.frame
        if last is not None and (now.timestamp <= last.timestamp or now.frame_id <= last.frame_id):
            stretch += 1
        last = now
        yield stretch, sample


class MonotonicClock:
    """Simulated time that goes on where the simulation's clock falls.

    Args:
        start_us: what is added to the simulation's clock, microseconds.
    """

    def __init__(self, start_us: int = 0) -> None:
        self._shift_us = start_us
        self._stretch = 0
        self._last_us: int | None = None

    def at(self, stretch: int, timestamp: float) -> int:
        """Return the time of a frame, microseconds; a stretch begins a second after the last."""
        now = round(timestamp * 1e6) + self._shift_us
        if stretch != self._stretch and self._last_us is not None:
            later = self._last_us + GAP_US - now
            self._shift_us += later
            now += later
        self._stretch = stretch
        self._last_us = now if self._last_us is None else max(now, self._last_us)
        return now

    def postpone(self) -> None:
        """Add a microsecond to all times from now on."""
        self._shift_us += 1
