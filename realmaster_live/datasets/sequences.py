"""Uninterrupted stretches of one camera's frames, for formats that number frames from zero."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

from realmaster_live.datasets.selection import Drive, Selection
from realmaster_live.recording.sample import Sample

Item = TypeVar("Item")
LONGEST_STEP = 1.5  # frame periods between two frames with no frame missing


def in_sequences(
    frames: Iterable[tuple[Sample, Item]], drive: Drive, selection: Selection
) -> Iterator[tuple[int, int, Sample, Item]]:
    """Yield each frame with the numbers of its sequence and of its place there, from 0 on.

    A sequence ends where frames are missing or were left out, where the weather changes and where
    the world is reloaded.
    """
    period_s = selection.every / drive.recording.meta.spec.fps
    sequence, place = -1, 0
    last: Sample | None = None
    for sample, item in frames:
        step_s = 0.0 if last is None else sample.frame.timestamp - last.frame.timestamp
        follows = (
            last is not None
            and 0 < step_s < LONGEST_STEP * period_s
            and drive.conditions(sample) == drive.conditions(last)
        )
        sequence, place = (sequence, place + 1) if follows else (sequence + 1, 0)
        last = sample
        yield sequence, place, sample, item
