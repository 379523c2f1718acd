"""A feed of pictures that come as arrays, without a simulator's image around them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from realmaster_live.errors import ConfigError
from realmaster_live.feeds.feed import Arrival, CameraFeed
from realmaster_live.feeds.pixels import Pixels
from realmaster_live.feeds.policies import POLICIES
from realmaster_live.feeds.realizing import Realizing, engine_under
from realmaster_live.feeds.shared_engines import SharedEngines
from realmaster_live.protocols import Engine


class ArrayFeed:
    """Realizes one camera's arrays; the engine is opened with the first of them, or by `open`.

    Args:
        name: of the camera.
        realizing: how; `two_pass` is refused, as arrays have nothing to hand over later.
        fps: frames a simulated second. fov_deg: horizontal.
        deliver: called with the payload of `put` and its pixels, (H, W, 4) BGRA, or None for those
            that came.
        engine: realizes the pictures in place of the one that `realizing` names, and stays open.
        engines: those of the agent's other cameras, whose weights are shared.

    Raises:
        ConfigError: the policy is `two_pass`.
    """

    def __init__(
        self,
        name: str,
        realizing: Realizing,
        deliver: Callable[[Any, Pixels | None], None],
        *,
        fps: float = 20.0,
        fov_deg: float = 90.0,
        engine: Engine | None = None,
        engines: SharedEngines | None = None,
    ) -> None:
        if not POLICIES[realizing.policy].photoreal:
            raise ConfigError(
                f"expected a policy that gives photoreal pictures, got {realizing.policy}: record "
                "the drive and use realmaster replay"
            )
        self.feed: CameraFeed | None = None
        self._name, self._realizing, self._deliver = name, realizing, deliver
        self._fps, self._fov_deg, self._given = fps, fov_deg, engine
        self._engines = engines or realizing.engines()
        self._engine: Engine | None = None  # of ours

    def put(self, payload: Any, pixels: Pixels, frame_id: int) -> CameraFeed:
        """Take a picture, (H, W, 4) uint8 BGRA, that nobody changes; returns the feed."""
        feed = self.feed or self.open(pixels.shape[1], pixels.shape[0])
        feed.put(
            Arrival(
                payload=payload,
                pixels=pixels,
                frame_id=frame_id,
                timestamp=frame_id / self._fps,
                fov_deg=self._fov_deg,
                cam_to_world=np.eye(4),
            )
        )
        return feed

    def open(self, width: int, height: int) -> CameraFeed:
        """Open the engine for pictures of this size, and return the feed."""
        engine = self._given or self._engine
        if engine is None:
            size = self._realizing.size_for(width, height)
            engine = self._engine = self._engines.engine_for(*size, self._fps)
        policy = self._realizing.policy
        self.feed = CameraFeed(
            self._name,
            engine_under(policy, engine),
            self._deliver,
            policy=policy,
            listener="the agent",
        )
        return self.feed

    def restart(self) -> None:
        """Deliver the pending pictures, and start a new sequence with the next one."""
        if self.feed is not None:
            self.feed.finish()
            self.feed = None

    def close(self) -> None:
        """Deliver the pending pictures and close the engine; may be called twice."""
        self.restart()
        if self._engine is not None:
            self._engines.release(self._engine)
            self._engine = None
