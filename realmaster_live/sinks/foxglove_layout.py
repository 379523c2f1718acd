"""A layout for Foxglove's viewer: the pictures of each camera, the scene, speed and controls."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from realmaster_live.errors import ConfigError
from realmaster_live.optional import require

layouts = require("foxglove.layouts", extra="foxglove")
VEHICLE = {"speed": "speed, m/s", "throttle": "throttle", "brake": "brake", "steer": "steer"}


def foxglove_layout(cameras: Sequence[str] = ("front",)) -> str:
    """Return a layout as JSON, for "Import from file" in Foxglove.

    A row for each camera shows its render beside its realized picture; on the right is the scene
    with the 3D boxes and what the vehicle does. The topics are those of `foxglove:` and `mcap:`.
    """
    if isinstance(cameras, str) or not cameras:
        raise ConfigError(f"expected names of cameras, got {cameras!r}: give a list, as ['front']")
    scene = layouts.ThreeDeePanel(
        title="Scene",
        config=layouts.ThreeDeeConfig(
            follow_tf="ego",
            topics={"/things": layouts.BaseRendererSceneUpdateTopicSettings(visible=True)},
        ),
    )
    vehicle = layouts.PlotPanel(
        title="Vehicle",
        config=layouts.PlotConfig(
            paths=[
                layouts.PlotSeries(value=f"/ego/state.{name}", label=label, enabled=True)
                for name, label in VEHICLE.items()
            ]
        ),
    )
    pictures = _split("column", [_pictures(name) for name in cameras])
    content = _split("row", [pictures, _split("column", [scene, vehicle])])
    text: str = layouts.Layout(content=content).to_json()
    return text


def _pictures(camera: str) -> Any:
    """Return a camera's render and realized picture side by side."""
    return _split(
        "row",
        [
            layouts.ImagePanel(
                title=f"{camera}, {title}",
                config=layouts.ImageConfig(
                    image_mode=layouts.ImageModeConfig(
                        image_topic=f"/{camera}/{which}",
                        calibration_topic=f"/{camera}/calibration",
                        synchronize=False,
                    )
                ),
            )
            for which, title in (("sim", "render"), ("real", "realized"))
        ],
    )


def _split(direction: str, panels: Sequence[Any]) -> Any:
    items = [layouts.SplitItem(content=panel) for panel in panels]
    return layouts.SplitContainer(direction=direction, items=items)
