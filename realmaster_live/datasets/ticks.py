"""The frames of all cameras of a drive, tick by tick, and a clock that never runs backwards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple

from realmaster_live.datasets.rules import exclusion_reason
from realmaster_live.datasets.selection import Drive, Selection
from realmaster_live.recording.sample import Sample

UNMATCHED = "not in every camera"
GAP_US = 1_000_000  # between two stretches on the monotonic clock


class Tick(NamedTuple):
    """The frames of one simulator tick.

    Attributes:
        stretch: how often the simulation's clock or frame number has jumped back before this tick.
        samples: one for each camera in the drive's order, all with the same frame number.
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
    """Yield, in order, the ticks for which every camera has a frame.

    A whole tick is left out if the gate or the rules reject the picture of one camera.

    Args:
        drive: the recording to read.
        selection: the pictures to read, and the rules.
        streams: labels to decode.
        left_out: counts the omitted pictures by reason.
    """
    reasons: Counter[str] = Counter() if left_out is None else left_out
    iterators = [in_stretches(drive.samples(one, selection, streams)) for one in drive.cameras]
    next_items = [next(iterator, None) for iterator in iterators]
    while all(item is not None for item in next_items):
        present = [item for item in next_items if item is not None]
        keys = [(stretch, sample.frame.frame_id) for stretch, sample in present]
        newest = max(keys)
        lagging = [place for place, key in enumerate(keys) if key < newest]
        samples = tuple(sample for _, sample in present)
        reason = next(filter(None, (exclusion_reason(one, selection.rules) for one in samples)), "")
        if lagging:
            reasons[UNMATCHED] += len(lagging)
        elif reason:
            reasons[reason] += len(present)
        else:
            yield Tick(newest[0], samples)
        for place in lagging or range(len(iterators)):
            next_items[place] = next(iterators[place], None)
    unmatched = sum(item is not None for item in next_items)
    unmatched += sum(1 for iterator in iterators for _ in iterator)
    if unmatched:
        reasons[UNMATCHED] += unmatched


def in_stretches(samples: Iterable[Sample]) -> Iterator[tuple[int, Sample]]:
    """Yield each frame of a camera with its stretch; a reloaded world starts a new one."""
    stretch, last = 0, None
    for sample in samples:
        frame = sample.frame
        if last is not None and (
            frame.timestamp <= last.timestamp or frame.frame_id <= last.frame_id
        ):
            stretch += 1
        last = frame
        yield stretch, sample


class MonotonicClock:
    """Simulated time that keeps rising when the simulation's clock jumps back.

    Args:
        start_us: microseconds that are added to the simulation's clock.
    """

    def __init__(self, start_us: int = 0) -> None:
        self._shift_us = start_us
        self._stretch = 0
        self._last_us: int | None = None

    def at(self, stretch: int, timestamp: float) -> int:
        """Return a frame's time in microseconds; stretches are one second apart."""
        time_us = round(timestamp * 1e6) + self._shift_us
        if stretch != self._stretch and self._last_us is not None:
            shift_us = self._last_us + GAP_US - time_us
            self._shift_us += shift_us
            time_us += shift_us
        self._stretch = stretch
        self._last_us = time_us if self._last_us is None else max(time_us, self._last_us)
        return time_us

    def postpone(self) -> None:
        """Add a microsecond to all times from now on."""
        self._shift_us += 1
