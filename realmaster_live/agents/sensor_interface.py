"""Agents of CARLA's leaderboard and ScenarioRunner: their sensor interface, with photoreal cameras.

Both give an agent a `sensor_interface`, whose `register_sensor(tag, sensor)`, or `(tag, type,
sensor)` since 2020, learns a sensor before it listens, and whose `update_sensor(tag, data, frame)`
takes each of its measurements; a camera's is an array (H, W, 4) uint8 BGRA. The agent then calls
`get_data()`, since 2.0 `get_data(frame)`. Everything but the cameras' arrays is left as it is.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import numpy as np

from realmaster_live.agents.array_feed import ArrayFeed
from realmaster_live.errors import ConfigError
from realmaster_live.feeds.choice import PICTURE_SENSOR, picture_size
from realmaster_live.feeds.figures import FeedFigures
from realmaster_live.feeds.pixels import Pixels
from realmaster_live.feeds.policies import explained
from realmaster_live.feeds.realizing import Realizing
from realmaster_live.feeds.shared_engines import SharedEngines

log = logging.getLogger(__name__)


class RealizedSensors:
    """Goes before a sensor interface's own class: camera arrays pass through feeds first."""

    _realizing: Realizing
    _engines: SharedEngines
    _feeds: dict[str, ArrayFeed]
    _figures: dict[str, FeedFigures]

    def register_sensor(self, tag: str, *rest: Any) -> None:
        """Learn a sensor; the last argument is the sensor itself."""
        super().register_sensor(tag, *rest)  # type: ignore[misc]
        self._choose(tag, rest[-1])

    def update_sensor(self, tag: str, data: Any, frame: int) -> None:
        """Take a measurement; that of a chosen camera is realized first."""
        feed = self._feeds.get(tag)
        if feed is None:
            super().update_sensor(tag, data, frame)  # type: ignore[misc]
            return
        feed.put((tag, data, frame), data, frame)

    @property
    def figures(self) -> Mapping[str, FeedFigures]:
        """What each realized camera delivered so far, by tag."""
        now = {tag: one.feed.figures for tag, one in self._feeds.items() if one.feed is not None}
        return {**self._figures, **now}

    def close_realized(self) -> None:
        """Close the engines; arrays that still come are as drawn. The agent's `destroy` does it."""
        feeds, self._feeds = self._feeds, {}
        for tag, feed in feeds.items():
            if feed.feed is not None:
                self._figures[tag] = feed.feed.figures
            feed.close()

    def _choose(self, tag: str, sensor: Any) -> None:
        """Open an engine for a camera that is chosen, as nothing waits for its arrays yet.

        An agent names a camera by its tag, so this is the role by which it is chosen.
        """
        choice = self._realizing.cameras
        attributes = {**getattr(sensor, "attributes", {}), "role_name": tag}
        if not choice.fits(getattr(sensor, "type_id", ""), attributes) or not choice.has_room(
            len(self._feeds)
        ):
            return
        feed = ArrayFeed(
            tag,
            self._realizing,
            self._pass_on,
            fov_deg=float(attributes.get("fov", 90.0)),
            engines=self._engines,
        )
        spec = feed.open(*picture_size(attributes)).spec
        log.warning("%s: %s", tag, explained(self._realizing.policy, spec))
        self._feeds[tag] = feed

    def _pass_on(self, payload: Any, pixels: Pixels | None) -> None:
        tag, data, frame = payload
        super().update_sensor(  # type: ignore[misc]
            tag, data if pixels is None else np.array(pixels), frame
        )


def realize_agent(agent: Any, realizing: Realizing | None = None) -> RealizedSensors:
    """Let an agent's rgb cameras give photoreal arrays; returns its sensor interface.

    Call it in the agent's `setup`, before its sensors are made; those that are made already are
    found too. The engines are opened with the sensors, and closed by the agent's `destroy`. The
    leaderboard waits for the array of the very frame, so only policies under which
    such a loop goes on are taken: `hold`, the default, and `frame`.

    Raises:
        ConfigError: the agent has no sensor interface, or the policy would let it starve.
    """
    realizing = realizing or Realizing()
    if realizing.policy not in ("hold", "frame"):
        raise ConfigError(
            f"expected policy hold or frame, got {realizing.policy}: an agent's loop waits for the "
            f"array of its tick, and {PICTURE_SENSOR} would not give it in time"
        )
    interface = getattr(agent, "sensor_interface", None)
    missing = [n for n in ("register_sensor", "update_sensor") if not hasattr(interface, n)]
    if missing:
        raise ConfigError(
            f"expected an agent with a sensor_interface, got {type(agent).__name__} whose "
            f"interface lacks {' and '.join(missing)}: call its base class's __init__ first"
        )
    base = type(interface)
    assert interface is not None
    interface.__class__ = type(f"Realized{base.__name__}", (RealizedSensors, base), {})
    realized: RealizedSensors = interface
    realized._realizing, realized._engines = realizing, realizing.engines()
    realized._feeds, realized._figures = {}, {}
    for tag, sensor in getattr(interface, "_sensors_objects", {}).items():
        realized._choose(tag, sensor)
    _close_with(agent, realized)
    return realized


def _close_with(agent: Any, realized: RealizedSensors) -> None:
    """Have the agent's `destroy` close the engines too: each route has an agent of its own."""
    destroy = getattr(agent, "destroy", None)
    if destroy is None:
        return

    def closing(*arguments: Any) -> Any:
        try:
            return destroy(*arguments)
        finally:
            realized.close_realized()

    agent.destroy = closing
