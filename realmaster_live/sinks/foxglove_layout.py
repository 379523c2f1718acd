"""A layout for Foxglove's viewer: the pictures of each camera, the scene, speed and controls.

It is in the form that the viewer exports and imports: a panel's settings by its id, whose first
part is the panel's type, and a binary tree of splits whose leaves are these ids. Foxglove's SDK
writes another form, for its viewer in notebooks only.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from realmaster_live.errors import ConfigError

TITLE = "foxglovePanelTitle"
VEHICLE = {"speed": "speed, m/s", "throttle": "throttle", "brake": "brake", "steer": "steer"}
PICTURES = {"sim": "render", "real": "realized"}


def foxglove_layout(cameras: Sequence[str] = ("front",)) -> str:
    """Return a layout as JSON, for "Import from file" in Foxglove.

    A row for each camera shows its render beside its realized picture; on the right is the scene
    with the 3D boxes and what the vehicle does. The topics are those of `foxglove:` and `mcap:`.
    """
    if isinstance(cameras, str) or not cameras:
        raise ConfigError(f"expected names of cameras, got {cameras!r}: give a list, as ['front']")
    panels: dict[str, Any] = {
        "3D!scene": {TITLE: "Scene", "followTf": "ego", "topics": {"/things": {"visible": True}}},
        "Plot!vehicle": {
            TITLE: "Vehicle",
            "xAxisVal": "timestamp",
            "isSynced": True,
            "paths": [_series(name, label) for name, label in VEHICLE.items()],
        },
    }
    rows = []
    for camera in cameras:
        row = {f"Image!{camera}-{which}": _picture(camera, which) for which in PICTURES}
        panels |= row
        rows.append(_split("row", list(row)))
    data = _split("column", ["3D!scene", "Plot!vehicle"])
    layout = {
        "configById": panels,
        "globalVariables": {},
        "userNodes": {},
        "playbackConfig": {"speed": 1},
        "layout": _split("row", [_split("column", rows), data]),
    }
    return json.dumps(layout, indent=1)


def _series(name: str, label: str) -> dict[str, Any]:
    """Return a line of a plot."""
    value = f"/ego/state.{name}"
    return {"value": value, "label": label, "enabled": True, "timestampMethod": "receiveTime"}


def _picture(camera: str, which: str) -> dict[str, Any]:
    """Return the settings of a panel with one of a camera's pictures."""
    mode = {
        "imageTopic": f"/{camera}/{which}",
        "calibrationTopic": f"/{camera}/calibration",
        "synchronize": False,
    }
    return {TITLE: f"{camera}, {PICTURES[which]}", "imageMode": mode}


def _split(direction: str, parts: Sequence[Any]) -> Any:
    """Return a tree in which the parts take equal room."""
    first, *rest = parts
    if not rest:
        return first
    return {
        "first": first,
        "second": _split(direction, rest),
        "direction": direction,
        "splitPercentage": 100 / len(parts),
    }
