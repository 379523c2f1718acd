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
from realmaster_live.protocols import Engine


class ArrayFeed:
    """Realizes one camera's arrays; the engine is opened with the first of them.

    Args:
        name: of the camera.
        realizing: how; `two_pass` is refused, as arrays have nothing to hand over later.
        fps: frames a simulated second. fov_deg: horizontal.
        deliver: called with the payload of `put` and its pixels, (H, W, 4) BGRA, or None for those
            that came.
        engine: realizes the pictures in place of the one that `realizing` names, and stays open.

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
    ) -> None:
        if not POLICIES[realizing.policy].photoreal:
            raise ConfigError(
                f"expected a policy that gives photoreal pictures, got {realizing.policy}: record "
                "the drive and use realmaster replay"
            )
        self.feed: CameraFeed | None = None
        self._name, self._realizing, self._deliver = name, realizing, deliver
        self._fps, self._fov_deg, self._engine = fps, fov_deg, engine
        self._engines = realizing.engines()

    def put(self, payload: Any, pixels: Pixels, frame_id: int) -> CameraFeed:
        """Take a picture, (H, W, 4) uint8 BGRA, that nobody changes; returns the feed."""
        if self.feed is None:
            self.feed = self._open(pixels.shape[1], pixels.shape[0])
        self.feed.put(
            Arrival(
                payload=payload,
                pixels=pixels,
                frame_id=frame_id,
                timestamp=frame_id / self._fps,
                fov_deg=self._fov_deg,
                cam_to_world=np.eye(4),
            )
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
        self._engines.close()

    def _open(self, width: int, height: int) -> CameraFeed:
        if self._engine is None:
            size = self._realizing.size_for(width, height)
            self._engine = self._engines.engine_for(*size, self._fps)
        policy = self._realizing.policy
        engine = engine_under(policy, self._engine)
        return CameraFeed(self._name, engine, self._deliver, policy=policy, listener="the agent")
