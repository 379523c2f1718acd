"""The roads around a drive, seen from above, from the OpenDRIVE that was recorded."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from realmaster_live.datasets.road_map import RoadMap, read_opendrive
from realmaster_live.datasets.view.timeline import Timeline
from realmaster_live.errors import RealMasterError

AROUND_M = 120.0  # beyond the vehicle's places
STEP = 3  # takes every third point of a lane: they are a metre apart


def road_map_of_part(timeline: Timeline, town: str) -> RoadMap | None:
    """Return the roads of a town; None where its OpenDRIVE was not recorded.

    Raises:
        RealMasterError: it cannot be read, or what reads it is not installed.
    """
    text = timeline.recording.opendrive.get(town)
    return None if text is None else read_opendrive(text)


def roads_of(timeline: Timeline) -> dict[str, Any]:
    """Return the lanes near the drive as outlines [[x, y], ...] by kind, in metres.

    `note` says in one sentence why there are none.
    """
    track = np.concatenate([np.empty((0, 4)), *(part.track for part in timeline.parts)])
    towns = dict.fromkeys(town for part in timeline.parts for town in part.towns if town)
    lanes: list[dict[str, Any]] = []
    notes: list[str] = []
    for town in towns:
        try:
            road_map = road_map_of_part(timeline, town)
        except RealMasterError as error:
            notes.append(str(error))
            continue
        if road_map is None:
            notes.append(f"The roads of {town} were not recorded.")
            continue
        for lane in road_map.lanes.values():
            outline = np.concatenate([_thinned(lane.left), _thinned(lane.right)[::-1]])[:, :2]
            if len(track) and _is_near(outline, track[:, 1:3]):
                lanes.append({"kind": lane.kind, "outline": outline.round(1).tolist()})
    return {"lanes": lanes, "note": " ".join(notes)}


def _thinned(points: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.concatenate([points[:-1:STEP], points[-1:]])


def _is_near(outline: NDArray[np.float64], places: NDArray[np.float64]) -> bool:
    low, high = places.min(axis=0) - AROUND_M, places.max(axis=0) + AROUND_M
    return bool(((outline >= low) & (outline <= high)).all(axis=1).any())
