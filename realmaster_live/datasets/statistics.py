"""What some recordings hold: classes, sizes, distances, occlusion, weather, trust and speed.

Only tables are read, no picture.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realmaster_live.datasets.motion import speeds_of
from realmaster_live.errors import RecordingError
from realmaster_live.frames.classes import class_name
from realmaster_live.recording import Recording
from realmaster_live.recording.choice import chosen
from realmaster_live.recording.reading import Segment
from realmaster_live.recording.tables import compute

Floats = NDArray[np.float64]

HEIGHTS_PX = (0, 8, 16, 32, 64, 128, 256, np.inf)
DISTANCES_M = (0, 10, 20, 30, 40, 60, 80, 100, 150, np.inf)
SHARES = tuple(np.linspace(0, 1, 11).round(1).tolist())
SPEEDS = (0, 0.5, 2, 4, 6, 8, 10, 15, 20, 30, np.inf)  # m/s
UNKNOWN, NOT_JUDGED = "not recorded", "not judged"


@dataclass(frozen=True, kw_only=True)
class Distribution:
    """How something is distributed.

    Attributes:
        title: what is counted by what. across: what the names of the counts are, with their unit.
        of: "objects" or "frames". counts: by name, in order; those of ranges include their lower
            end.
    """

    title: str
    across: str
    of: str
    counts: Mapping[str, int]


@dataclass(kw_only=True)
class Statistics:
    """What some recordings hold.

    Attributes:
        recordings: their folders. frames: of all cameras. ticks: moments of all cameras together.
        seconds: simulated. objects: seen in all frames, each counted in each of them.
        distributions: in the order in which they are shown.
        damaged: file or folder that was left out -> why.
    """

    recordings: tuple[Path, ...]
    frames: int = 0
    ticks: int = 0
    seconds: float = 0.0
    objects: int = 0
    distributions: tuple[Distribution, ...] = ()
    damaged: dict[str, str] = field(default_factory=dict)


@dataclass(kw_only=True)
class _Gathered:
    """The values of all segments that could be read."""

    classes: Counter[str] = field(default_factory=Counter)
    weathers: Counter[str] = field(default_factory=Counter)
    towns: Counter[str] = field(default_factory=Counter)
    verdicts: Counter[str] = field(default_factory=Counter)
    unjudged: int = 0
    values: dict[str, list[Floats]] = field(default_factory=dict)

    def add(self, name: str, values: Floats) -> None:
        self.values.setdefault(name, []).append(np.asarray(values, np.float64))

    def all(self, name: str) -> Floats:
        return np.concatenate([np.empty(0), *self.values.get(name, [])])


def statistics_of(folders: Sequence[Path], cameras: Collection[str] = ()) -> Statistics:
    """Return the statistics of some recordings; damaged segments are named and left out.

    Args:
        folders: of the recordings.
        cameras: whose frames count; if empty, those of all cameras.

    Raises:
        RecordingError: a folder is no recording, or nothing in them can be read.
        ConfigError: a camera was not recorded.
    """
    found = Statistics(recordings=tuple(folders))
    gathered = _Gathered()
    for folder in folders:
        recording = Recording(folder, verify=False)
        names = chosen("cameras", cameras or None, recording.cameras)
        for segment in recording.segments:
            try:
                part, facts = _read(segment, names)
            except RecordingError as error:
                found.damaged[str(segment.folder)] = str(error)
                continue
            found.frames += facts[0]
            found.ticks += facts[1]
            found.seconds += facts[2]
            _merge(gathered, part)
    if not found.frames:
        reason = "; ".join(found.damaged.values()) or "no frame"
        raise RecordingError(
            f"expected frames in {', '.join(map(str, folders))}, got none ({reason}): record "
            "again, or run realmaster dataset repair"
        )
    found.objects = gathered.classes.total()
    found.distributions = tuple(_distributions(gathered))
    return found


def _read(segment: Segment, cameras: Sequence[str]) -> tuple[_Gathered, tuple[int, int, float]]:
    """Return the values of a segment, and its frames, ticks and seconds."""
    found = _Gathered()
    frames = 0
    ids: list[NDArray[np.int64]] = [np.empty(0, np.int64)]
    stamps: list[Floats] = [np.empty(0)]
    for camera in cameras:
        rows = segment.rows("frames", camera).slice(0, segment.count(camera))
        frames += len(rows)
        ids.append(rows["frame_id"].to_numpy())
        stamps.append(rows["timestamp"].to_numpy())
        for column, counts in (("weather", found.weathers), ("town", found.towns)):
            before = getattr(segment.about, column)  # of recordings whose frames do not say
            counts.update(
                (before if value is None else value) or UNKNOWN
                for value in rows[column].to_pylist()
            )
        _add_objects(found, segment.rows("objects", camera))
        trust = segment.rows("trust", camera)
        judged = trust.filter(compute.is_null(trust["mask_id"]))
        found.add("trust of frames", _floats(judged["score"]))
        found.verdicts.update(filter(None, judged["verdict"].to_pylist()))
        found.unjudged += len(rows) - len(judged)
        things = trust.filter(compute.is_valid(trust["mask_id"]))
        found.add("trust of objects", _floats(things["score"]))
    found.add("speed", speeds_of(segment, cameras)[1])
    times = np.unique(np.concatenate(stamps))
    seconds = float(times[-1] - times[0]) if len(times) else 0.0
    if len(times) > 1:
        seconds += seconds / (len(times) - 1)  # the last frame lasts as long as the others
    return found, (frames, len(np.unique(np.concatenate(ids))), seconds)


def _add_objects(found: _Gathered, rows: Any) -> None:
    """Add the objects of which something is seen."""
    seen = rows.filter(compute.greater(rows["pixels"], 0))
    for number, count in Counter(seen["class_id"].to_pylist()).items():
        found.classes[class_name(number)] += count
    boxes = [box for box in seen["visible"].to_pylist() if box is not None]
    sides = np.array(boxes, np.float64).reshape(-1, 4)
    found.add("height", sides[:, 3] - sides[:, 1])
    for column in ("distance_m", "occlusion", "truncation"):
        found.add(column, _floats(seen[column]))


def _floats(column: Any) -> Floats:
    """Return a column's finite numbers."""
    values = column.to_numpy().astype(np.float64)
    return np.asarray(values[np.isfinite(values)])


def _merge(into: _Gathered, part: _Gathered) -> None:
    for counts in ("classes", "weathers", "towns", "verdicts"):
        getattr(into, counts).update(getattr(part, counts))
    into.unjudged += part.unjudged
    for name, arrays in part.values.items():
        into.values.setdefault(name, []).extend(arrays)


def _distributions(found: _Gathered) -> Iterator[Distribution]:
    def ranges(title: str, across: str, name: str, edges: Sequence[float], of: str) -> Distribution:
        return Distribution(
            title=title, across=across, of=of, counts=_in_ranges(found.all(name), edges)
        )

    def counted(title: str, across: str, counts: Counter[str], of: str) -> Distribution:
        return Distribution(title=title, across=across, of=of, counts=dict(counts.most_common()))

    yield counted("Classes in view", "class", found.classes, "objects")
    yield ranges("Height of the visible box", "pixels", "height", HEIGHTS_PX, "objects")
    yield ranges("Distance", "metres", "distance_m", DISTANCES_M, "objects")
    yield ranges("Occlusion", "hidden share", "occlusion", SHARES, "objects")
    yield ranges("Truncation", "share beyond the edge", "truncation", SHARES, "objects")
    yield counted("Weather", "weather", found.weathers, "frames")
    yield counted("Town", "town", found.towns, "frames")
    trust = ranges("Trust of frames", "score", "trust of frames", SHARES, "frames")
    unjudged = {NOT_JUDGED: found.unjudged} if found.unjudged else {}
    judged = trust.counts if sum(trust.counts.values()) else {}
    yield Distribution(
        title=trust.title, across="score", of="frames", counts={**judged, **unjudged}
    )
    if found.verdicts:
        yield counted("What the gate decided", "verdict", found.verdicts, "frames")
        yield ranges("Trust of objects", "score", "trust of objects", SHARES, "objects")
    yield ranges("Speed of the vehicle", "m/s", "speed", SPEEDS, "ticks")


def _in_ranges(values: Floats, edges: Sequence[float]) -> dict[str, int]:
    counts, _ = np.histogram(values, np.array(edges, np.float64))
    names = [
        f"{low:g} or more" if np.isinf(high) else f"{low:g}-{high:g}"
        for low, high in pairwise(edges)
    ]
    return dict(zip(names, counts.tolist(), strict=True))
