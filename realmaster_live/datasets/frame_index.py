"""The frames of some recordings in unbroken runs, and the windows that fit into them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from realmaster_live.datasets.frame_query import FrameQuery
from realmaster_live.datasets.options import Rules
from realmaster_live.datasets.rules import distrust_of
from realmaster_live.datasets.selection import Drive
from realmaster_live.errors import ConfigError
from realmaster_live.recording.reading import Segment
from realmaster_live.recording.rows import read_trust
from realmaster_live.recording.tables import compute


class Track(NamedTuple):
    """One camera of one drive in one segment."""

    drive: Drive
    camera: str
    segment: Segment


@dataclass(frozen=True, kw_only=True)
class FrameIndex:
    """Where the items of a query are.

    Attributes:
        tracks: the cameras' segments.
        track: (N,) int32, of each frame. row: (N,) int32, its row there.
        starts: (M,) int64, the first frame of each item.
        left_out: reason -> number of frames that the rules leave out.
    """

    tracks: tuple[Track, ...]
    track: NDArray[np.int32]
    row: NDArray[np.int32]
    starts: NDArray[np.int64]
    left_out: dict[str, int]


def index_frames(drives: tuple[Drive, ...], query: FrameQuery) -> FrameIndex:
    """Return the items of a query, camera by camera, in order.

    A window never spans frames that are missing or left out, nor a change of weather, town or
    clock.

    Raises:
        RecordingError: a table is missing or damaged.
        ConfigError: there is no item.
    """
    tracks: list[Track] = []
    numbers, rows, runs = [], [], []
    left_out: dict[str, int] = {}
    last_run = 0
    for drive in drives:
        for camera in drive.cameras:
            parts = [_frames(segment, camera, query.rules) for segment in drive.recording.segments]
            whole = np.concatenate(parts)
            owner = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
            whole["lost"] = np.cumsum(whole["lost"])
            chosen, owner = whole[:: query.every], owner[:: query.every]
            for reason in chosen["left_out"][chosen["left_out"] != ""].tolist():
                left_out[reason] = left_out.get(reason, 0) + 1
            kept = chosen["left_out"] == ""
            run = last_run + np.cumsum(_breaks(chosen))
            last_run = int(run[-1]) if len(run) else last_run
            numbers.append(len(tracks) + owner[kept])
            rows.append(chosen["row"][kept])
            runs.append(run[kept])
            tracks += [Track(drive, camera, segment) for segment in drive.recording.segments]
    starts = _starts(np.concatenate(runs), query.window, query.stride)
    if not len(starts):
        frames = sum(map(len, rows))
        reasons = ", ".join(f"{reason} {count}" for reason, count in left_out.items()) or "none"
        raise ConfigError(
            f"expected {query.window} frames in a row, got {frames} frames in shorter runs (left "
            f"out: {reasons}): take a smaller window, relax the rules or record more"
        )
    return FrameIndex(
        tracks=tuple(tracks),
        track=np.concatenate(numbers).astype(np.int32),
        row=np.concatenate(rows).astype(np.int32),
        starts=starts,
        left_out=left_out,
    )


def _frames(segment: Segment, camera: str, rules: Rules) -> NDArray[Any]:
    """Return one record for each frame of a camera in a segment."""
    table, count = segment.rows("frames", camera).slice(0, segment.count(camera)), 0
    trust = segment.rows("trust", camera)
    judged = read_trust(trust.filter(compute.is_null(trust["mask_id"])))
    count = len(table)
    ids = table["frame_id"].to_numpy()
    found = np.zeros(
        count,
        [
            ("row", np.int32),
            ("frame_id", np.int64),
            ("timestamp", np.float64),
            ("lost", np.int64),
            ("conditions", np.int64),
            ("left_out", "U16"),
        ],
    )
    found["row"] = np.arange(count)
    found["frame_id"] = ids
    found["timestamp"] = table["timestamp"].to_numpy()
    found["lost"] = table["dropped_before"].to_numpy()
    places = zip(table["town"].to_pylist(), table["weather"].to_pylist(), strict=True)
    found["conditions"] = [hash(place) for place in places]  # compared within this process only
    if judged:
        found["left_out"] = [distrust_of(judged.get(number), rules) for number in ids.tolist()]
    return found


def _breaks(frames: NDArray[Any]) -> NDArray[np.bool_]:
    """Return (N,) whether a frame does not follow the one before without a gap."""
    breaks = np.ones(len(frames), bool)
    before, after = frames[:-1], frames[1:]
    breaks[1:] = (
        (after["lost"] > before["lost"])
        | (after["timestamp"] <= before["timestamp"])
        | (after["frame_id"] <= before["frame_id"])
        | (after["conditions"] != before["conditions"])
        | (before["left_out"] != "")
    )
    return breaks


def _starts(runs: NDArray[np.int64], window: int, stride: int) -> NDArray[np.int64]:
    """Return the first frame of every window that lies in one run; each run is counted anew."""
    _, firsts, counts = np.unique(runs, return_index=True, return_counts=True)
    starts = [
        np.arange(first, first + count - window + 1, stride)
        for first, count in zip(firsts.tolist(), counts.tolist(), strict=True)
        if count >= window
    ]
    return np.concatenate(starts) if starts else np.empty(0, np.int64)
