"""The ticks of a recording in order, with what a page searches them by; no picture is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realmaster_live.datasets.motion import speeds_of, track_of
from realmaster_live.errors import RecordingError
from realmaster_live.frames.classes import class_name
from realmaster_live.recording import Recording
from realmaster_live.recording.reading import Segment
from realmaster_live.recording.tables import compute

Floats = NDArray[np.float64]
Spans = list[tuple[int, int]]  # first tick, and the tick after the last one


@dataclass(frozen=True, kw_only=True)
class SegmentTicks:
    """The N ticks of one segment: the frames of all cameras with one number.

    Attributes:
        segment: the segment. first: place of its first tick among the recording's.
        numbers: (N,) frame numbers, ascending. track: (N, 4) time in s, x, y in m, yaw in radians.
        speeds: (N,) m/s, NaN where unknown. rows: camera -> (N,) row in its tables, -1 without one.
        classes: class -> (N,) whether something of it is seen.
        weathers, towns: (N,) words, "" where unknown.
        trust: (N,) lowest score of the cameras' frames, NaN where none was judged.
        quarantined: (N,) whether the gate gave up a frame.
    """

    segment: Segment
    first: int
    numbers: NDArray[np.int64]
    track: Floats
    speeds: Floats
    rows: dict[str, NDArray[np.int64]]
    classes: dict[str, NDArray[np.bool_]]
    weathers: list[str]
    towns: list[str]
    trust: Floats
    quarantined: NDArray[np.bool_]

    def __len__(self) -> int:
        """Return the number of ticks."""
        return len(self.numbers)


@dataclass(frozen=True, kw_only=True)
class Timeline:
    """The ticks of a recording.

    Attributes:
        recording: the recording. parts: its segments that can be read, in order.
        damaged: name of a segment -> why it cannot be read; more are added as they are found.
    """

    recording: Recording
    parts: tuple[SegmentTicks, ...]
    damaged: dict[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        """Return the number of ticks."""
        return sum(map(len, self.parts))

    def at(self, tick: int) -> tuple[SegmentTicks, int]:
        """Return the segment of a tick and its place there; IndexError where there is none."""
        if tick >= 0:
            for part in self.parts:
                if tick < part.first + len(part):
                    return part, tick - part.first
        raise IndexError(tick)

    def facts(self) -> dict[str, Any]:
        """Return all of it as JSON values, long lists as spans of ticks."""
        parts = self.parts
        classes = sorted({name for part in parts for name in part.classes})
        track = _joined([part.track for part in parts], (0, 4))
        return {
            "ticks": len(self),
            "numbers": _joined([part.numbers for part in parts], (0,)).astype(int).tolist(),
            "times": track[:, 0].round(3).tolist(),
            "track": track[:, 1:].round(2).tolist(),
            "speeds": _numbers(_joined([part.speeds for part in parts], (0,))),
            "trust": _numbers(_joined([part.trust for part in parts], (0,))),
            "quarantined": _spans(_joined([part.quarantined for part in parts], (0,)) > 0),
            "classes": {name: _spans(self._seen(name)) for name in classes},
            "weathers": _by_word([word for part in parts for word in part.weathers]),
            "towns": _by_word([word for part in parts for word in part.towns]),
            "segments": [
                {"name": part.segment.folder.name, "first": part.first, "count": len(part)}
                for part in parts
            ],
        }

    def _seen(self, name: str) -> NDArray[np.bool_]:
        empty = [part.classes.get(name, np.zeros(len(part), bool)) for part in self.parts]
        return np.concatenate(empty)


def read_timeline(recording: Recording) -> Timeline:
    """Return the ticks of a recording; segments whose tables are damaged are named in it."""
    parts: list[SegmentTicks] = []
    damaged: dict[str, str] = {}
    first = 0
    for segment in recording.segments:
        try:
            part = _read(segment, recording.cameras, first)
        except RecordingError as error:
            damaged[segment.folder.name] = str(error)
            continue
        if len(part):
            parts.append(part)
            first += len(part)
    return Timeline(recording=recording, parts=tuple(parts), damaged=damaged)


def _read(segment: Segment, cameras: Sequence[str], first: int) -> SegmentTicks:
    numbers, track = track_of(segment, cameras)
    count = len(numbers)
    moved, speeds = speeds_of(segment, cameras)
    found = SegmentTicks(
        segment=segment,
        first=first,
        numbers=numbers,
        track=track,
        speeds=np.full(count, np.nan),
        rows={},
        classes={},
        weathers=[""] * count,
        towns=[""] * count,
        trust=np.full(count, np.nan),
        quarantined=np.zeros(count, bool),
    )
    found.speeds[np.searchsorted(numbers, moved)] = speeds
    for camera in cameras:
        _add_frames(found, segment, camera)
        _add_objects(found, segment.rows("objects", camera))
        _add_trust(found, segment.rows("trust", camera))
    return found


def _add_frames(found: SegmentTicks, segment: Segment, camera: str) -> None:
    table = segment.rows("frames", camera).slice(0, segment.count(camera))
    places = np.searchsorted(found.numbers, table["frame_id"].to_numpy())
    rows = np.full(len(found), -1, np.int64)
    rows[places] = np.arange(len(table))
    found.rows[camera] = rows
    for column, words in (("weather", found.weathers), ("town", found.towns)):
        before = getattr(segment.about, column)  # of recordings whose frames do not say
        for place, word in zip(places.tolist(), table[column].to_pylist(), strict=True):
            words[place] = (before if word is None else word) or ""


def _add_objects(found: SegmentTicks, table: Any) -> None:
    seen = table.filter(compute.greater(table["pixels"], 0))
    places, is_known = _places(found, seen)
    classes = seen["class_id"].to_numpy()[is_known]
    for number in np.unique(classes).tolist():
        mask = found.classes.setdefault(class_name(number), np.zeros(len(found), bool))
        mask[places[classes == number]] = True


def _add_trust(found: SegmentTicks, table: Any) -> None:
    judged = table.filter(compute.is_null(table["mask_id"]))
    places, is_known = _places(found, judged)
    scores = judged["score"].to_numpy().astype(np.float64)[is_known]
    found.trust[places] = np.fmin(found.trust[places], scores)
    verdicts = np.array(judged["verdict"].to_pylist(), object)[is_known]
    found.quarantined[places[verdicts == "quarantined"]] = True


def _places(found: SegmentTicks, table: Any) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the ticks of a table's rows, and which rows have one."""
    numbers = table["frame_id"].to_numpy()
    places = np.searchsorted(found.numbers, numbers)
    is_known = np.zeros(len(numbers), bool)
    inside = places < len(found)
    is_known[inside] = found.numbers[places[inside]] == numbers[inside]
    return places[is_known], is_known


def _joined(arrays: Sequence[NDArray[Any]], shape: tuple[int, ...]) -> NDArray[Any]:
    return np.concatenate([np.empty(shape), *arrays])


def _spans(mask: NDArray[np.bool_]) -> Spans:
    borders = np.flatnonzero(np.diff(mask.astype(np.int8), prepend=0, append=0)).tolist()
    return list(zip(borders[::2], borders[1::2], strict=True))


def _by_word(words: Sequence[str]) -> dict[str, Spans]:
    values = np.array(words, object)
    return {word: _spans(values == word) for word in dict.fromkeys(words) if word}


def _numbers(values: Floats) -> list[float | None]:
    """Return numbers for JSON, None for those that are not known."""
    return [
        value if known else None
        for value, known in zip(values.round(3).tolist(), np.isfinite(values), strict=True)
    ]
