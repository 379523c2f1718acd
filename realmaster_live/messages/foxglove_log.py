"""Foxglove's messages on their topics, into a file or to a server: whatever takes the context."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, partial
from typing import Any

from realmaster_live.frames.chunk import Frame
from realmaster_live.frames.ego import EgoState
from realmaster_live.frames.trust import FrameTrust
from realmaster_live.messages import foxglove as messages
from realmaster_live.messages import foxglove_ego as ego
from realmaster_live.optional import require


class FoxgloveLog:
    """A context with a channel for each topic, made when its first message comes.

    A message that nobody takes is not even made: `log` gets what makes it.

    Attributes:
        context: of foxglove-sdk; an MCAP file or a server is opened with it.
    """

    def __init__(self) -> None:
        self.context: Any = require("foxglove", extra="foxglove").Context()
        self._channels: dict[str, Any] = {}

    def pose(self, frame: Frame, size: tuple[int, int]) -> None:
        """Log where a frame's camera is and how it sees; `size` is (width, height)."""
        self.log("/tf", "FrameTransforms", lambda: messages.transforms(frame), frame)
        topic = f"/{frame.camera}/calibration"
        self.log(topic, "CameraCalibration", lambda: messages.calibration(frame, size), frame)

    def things(self, frame: Frame) -> None:
        """Log the box of every thing in view."""
        self.log("/things", "SceneUpdate", lambda: messages.scene(frame), frame)

    def trust(self, frame: Frame, trust: FrameTrust) -> None:
        """Log a gate's scores and verdict."""
        self.log(f"/{frame.camera}/trust", "", lambda: messages.trust_of(frame, trust), frame)

    def ego(self, frame: Frame) -> None:
        """Log what the vehicle did and measured at a frame's tick; nothing where it is unknown."""
        state = frame.ego
        if state is None:
            return
        self.log("/ego/state", "", lambda: ego.state(state), frame)
        if state.imu is not None:
            self.log("/ego/imu", "", lambda: ego.imu(state), frame)
        if state.gnss is not None:
            self.log("/ego/location", "LocationFix", lambda: ego.location(frame, state), frame)
        for event in ego.events(state):
            self.log("/ego/events", "", partial(dict, event), frame)
        for name in state.sweeps:
            self._sweep(name, frame, state)

    def _sweep(self, name: str, frame: Frame, state: EgoState) -> None:
        read = cache(lambda: state.sweeps[name])  # from its file, where it comes from a recording
        self.log("/tf", "FrameTransforms", lambda: ego.place(frame, name, read()), frame)
        self.log(f"/{name}", "PointCloud", lambda: ego.cloud(frame, name, read()), frame)

    def log(self, topic: str, kind: str, make: Callable[[], Any], frame: Frame) -> None:
        """Log a message; `kind` is the name of Foxglove's schema, or "" for our own JSON."""
        channel = self._channel(topic, kind)
        if channel.has_sinks():
            channel.log(make(), log_time=messages.nanoseconds(frame))

    def _channel(self, topic: str, kind: str) -> Any:
        if topic not in self._channels:
            foxglove = require("foxglove", extra="foxglove")
            self._channels[topic] = (
                getattr(foxglove.channels, f"{kind}Channel")(topic, context=self.context)
                if kind
                else foxglove.Channel(topic, schema=_schema_of(topic), context=self.context)
            )
        return self._channels[topic]


def _schema_of(topic: str) -> dict[str, Any]:
    if topic in ego.JSON_SCHEMAS:
        return ego.JSON_SCHEMAS[topic]
    return messages.CONDITIONS_SCHEMA if topic == "/conditions" else messages.TRUST_SCHEMA
