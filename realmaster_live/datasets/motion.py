"""Where the vehicle was at each tick of a segment, and how fast."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from realmaster_live.recording.reading import Segment
from realmaster_live.recording.rows import arrays

Floats = NDArray[np.float64]
Numbers = NDArray[np.int64]


def track_of(segment: Segment, cameras: Sequence[str]) -> tuple[Numbers, Floats]:
    """Return the frame numbers (N,), ascending, and (N, 4): time in s, x, y in m, yaw in radians.

    Without a vehicle, place and direction are those of the first camera that has the frame.

    Raises:
        RecordingError: a table is missing or damaged.
    """
    numbers: list[Numbers] = []
    places: list[Floats] = []
    for camera in cameras:
        rows = segment.rows("frames", camera).slice(0, segment.count(camera))
        if not len(rows):
            continue
        eyes = arrays(rows["cam_to_world"], 4, 4)
        carrier = arrays(rows["ego_to_world"], 4, 4)
        none = np.asarray(np.isnan(carrier).any(axis=(1, 2)))
        at = np.where(none[:, None], eyes[:, :2, 3], carrier[:, :2, 3])
        ahead = np.where(none[:, None], eyes[:, :2, 2], carrier[:, :2, 0])
        yaw = np.arctan2(ahead[:, 1], ahead[:, 0])
        numbers.append(rows["frame_id"].to_numpy())
        places.append(np.column_stack([rows["timestamp"].to_numpy(), at, yaw]))
    if not numbers:
        return np.empty(0, np.int64), np.empty((0, 4))
    found, first = np.unique(np.concatenate(numbers), return_index=True)
    return found, np.concatenate(places)[first]


def speeds_of(segment: Segment, cameras: Sequence[str]) -> tuple[Numbers, Floats]:
    """Return frame numbers (N,), ascending, and the vehicle's speed (N,) at them, m/s.

    It is the simulator's where it was recorded, else that from place to place.

    Raises:
        RecordingError: a table is missing or damaged.
    """
    numbers, track = track_of(segment, cameras)
    speeds = np.full(len(track), np.nan)
    if len(track) > 1:
        steps = np.diff(track, axis=0)
        with np.errstate(divide="ignore", invalid="ignore"):
            moved = np.hypot(steps[:, 1], steps[:, 2]) / steps[:, 0]
        speeds[1:], speeds[0] = moved, moved[0]
    table = segment.rows("ego")
    known = dict(zip(table["frame_id"].to_pylist(), table["speed"].to_pylist(), strict=True))
    recorded = np.array([known.get(number) for number in numbers.tolist()], np.float64)
    speeds = np.where(np.isfinite(recorded), recorded, speeds)
    is_finite = np.isfinite(speeds)
    return numbers[is_finite], speeds[is_finite]
