"""A drop-in rgb camera: the user's own carla sensor, whose images arrive photoreal."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from realmaster_live.bridges.carla.ego import PICTURE_SENSOR, role_of
from realmaster_live.bridges.carla.geometry import cam_to_world
from realmaster_live.bridges.carla.images import bgra_view, overwrite
from realmaster_live.errors import ConfigError
from realmaster_live.feeds.choice import picture_size
from realmaster_live.feeds.feed import Arrival, CameraFeed
from realmaster_live.feeds.figures import FeedFigures
from realmaster_live.feeds.lockstep import LOCKSTEP_S, tick_through
from realmaster_live.feeds.pixels import Pixels
from realmaster_live.feeds.policies import DEFAULT, explained
from realmaster_live.feeds.realizing import engine_under
from realmaster_live.feeds.two_pass import TwoPass
from realmaster_live.protocols import Engine

log = logging.getLogger(__name__)
Callback = Callable[[Any], None]


class RealizedCamera:
    """Behaves as the rgb camera it wraps, except that `listen` delivers realized pictures.

    The callback gets the simulator's own carla.Image objects: frame, timestamp, transform and fov
    are untouched, only the pixels were replaced. When it gets them, and how old the pixels are, is
    the latency policy's; `listen` logs it. Everything else is the wrapped camera's.

    Args:
        camera: a spawned `sensor.camera.rgb`; pictures of another size than the engine's are scaled
            there and back.
        engine: realizes the chunks; not to be shared while the camera listens.
        policy: one of realmaster_live.feeds.policies.
        record: for policy `two_pass`, the new folder that the realized recording is written to.
        on_destroy: called by `destroy` once the engine is not needed any more.
    """

    def __init__(
        self,
        camera: Any,
        engine: Engine,
        *,
        policy: str = DEFAULT,
        record: str | Path | None = None,
        on_destroy: Callable[[], None] = lambda: None,
    ) -> None:
        _check(camera, policy)
        self._camera, self._policy = camera, policy
        self._engine = engine_under(policy, engine, record)
        self._on_destroy = on_destroy
        self._feed: CameraFeed | None = None
        self._figures = FeedFigures()

    @property
    def camera(self) -> Any:
        """The wrapped carla sensor, for calls that insist on one."""
        return self._camera

    @property
    def engine(self) -> Engine:
        """What realizes the pictures, for instance to set its prompt."""
        return self._engine

    @property
    def delay_frames(self) -> int:
        """How many ticks the oldest image of a chunk is late, before the engine's own time."""
        spec = self._engine.spec
        return max(spec.frames, spec.first_frames) - 1

    @property
    def figures(self) -> FeedFigures:
        """Counts of this listening, or of the last one: images, ages, losses."""
        return self._figures if self._feed is None else self._feed.figures

    @property
    def source_frame(self) -> int | None:
        """Number of the frame that the newest photoreal pixels are of; None before the first."""
        return None if self._feed is None else self._feed.source_frame

    @property
    def dropped(self) -> int:
        """How many images were never delivered because the engine was slower than the camera."""
        return self.figures.dropped

    def listen(self, callback: Callback) -> None:
        """Deliver realized images to `callback` until `stop`; another call takes its place.

        Raises:
            TypeError: `callback` cannot be called, as of the client's own cameras.
        """
        if not callable(callback):
            raise TypeError(
                f"expected a callback that takes an image, got {callback!r}: give a function"
            )
        self.stop()
        name = f"camera {self._camera.id}"
        role = role_of(self._camera)
        log.warning("%s: %s", f"{name} ({role})" if role else name, self._announcement())

        def deliver(image: Any, pixels: Pixels | None) -> None:
            if pixels is not None:
                overwrite(image, pixels)
            callback(image)

        feed = self._feed = CameraFeed(
            f"camera-{self._camera.id}",
            self._engine,
            deliver,
            policy=self._policy,
            every_tick=_sensor_tick_s(self._camera) == 0.0,
            listener=f"the callback {getattr(callback, '__qualname__', repr(callback))}",
        )
        copies = feed.policy.at_once
        self._camera.listen(lambda image: feed.put(arrival_of(image, copies=copies)))

    def stop(self) -> None:
        """Stop listening, deliver what is owed, then raise what went wrong in the engine.

        May be called twice. With policy `two_pass` the recording is realized here.
        """
        feed = self._feed
        if feed is None:
            return
        if self._camera.is_alive and self._camera.is_listening():
            self._camera.stop()
        feed.finish()
        self._figures = feed.figures
        self._feed = None
        log.info("%s: %s", feed.name, self._figures)
        if feed.error is not None:
            raise feed.error
        if isinstance(self._engine, TwoPass):
            self._engine.hand_over()

    def close(self) -> None:
        """Stop, and give the engine back where it is ours; may be called twice."""
        try:
            self.stop()
        finally:
            self._on_destroy()

    def destroy(self) -> bool:
        """Close, and destroy the wrapped camera."""
        try:
            self.close()
        finally:
            destroyed = bool(self._camera.destroy())
        return destroyed

    def __repr__(self) -> str:
        """Show the wrapped camera, as the client does, and the policy."""
        return f"RealizedCamera({self._camera}, {self._policy})"

    def __getattr__(self, name: str) -> Any:
        """Return the wrapped camera's attribute; raise first what went wrong in the background."""
        if name in ("_camera", "_feed"):  # of a copy that is not made yet
            raise AttributeError(name)
        feed = self._feed
        if feed is not None and feed.error is not None:
            self.stop()
        return getattr(self._camera, name)

    def _announcement(self) -> str:
        """Return what the log says when the camera begins to listen."""
        spec, (width, height) = self._engine.spec, picture_size(self._camera.attributes)
        text = explained(self._policy, spec)
        if (width, height) != (spec.width, spec.height):
            text += f"; {width}x{height} pictures are realized at {spec.width}x{spec.height}"
        return text


def tick_in_lockstep(
    tick: Callable[[], int], cameras: Sequence[RealizedCamera], timeout_s: float = LOCKSTEP_S
) -> int:
    """Tick through the chunk of cameras with policy `lockstep`; return the last frame's number.

    When it returns, every image of the chunk was delivered, that of the returned frame included.
    Cameras that do not listen are left out; without any this is one tick.

    Raises:
        FrameTimeout: a camera's image, or the realized chunk, did not come within `timeout_s`.
    """
    feeds = [one._feed for one in cameras if one._feed is not None]
    return tick_through(tick, feeds, timeout_s=timeout_s)


def arrival_of(image: Any, *, copies: bool) -> Arrival:
    """Return a carla.Image as a feed takes it; `copies` where its pixels are about to change."""
    pixels = bgra_view(image)
    return Arrival(
        payload=image,
        pixels=pixels.copy() if copies else pixels,
        frame_id=image.frame,
        timestamp=image.timestamp,
        fov_deg=image.fov,
        cam_to_world=cam_to_world(image.transform.get_matrix()),
    )


def picture_format(camera: Any) -> tuple[int, int, float]:
    """Return width and height in pixels and frames a simulated second of a carla camera.

    A world without a fixed time step has no frame rate: 20 is what it is taken for.
    """
    _check_camera(camera)
    tick_s = _sensor_tick_s(camera) or camera.get_world().get_settings().fixed_delta_seconds
    return *picture_size(camera.attributes), 1.0 / (tick_s or 0.05)


def _sensor_tick_s(camera: Any) -> float:
    return float(camera.attributes.get("sensor_tick", 0.0))


def _check_camera(camera: Any) -> None:
    """Raise ConfigError for what is no rgb sensor of a carla client."""
    got = getattr(camera, "type_id", None)
    if got is None:
        what = repr(camera) if camera is None or isinstance(camera, str | int) else type(camera)
        raise ConfigError(
            f"expected a spawned {PICTURE_SENSOR}, got {what}: give what world.spawn_actor "
            "returned for it"
        )
    if got != PICTURE_SENSOR:
        raise ConfigError(f"expected a {PICTURE_SENSOR}, got a {got}: only colour can be realized")


def _check(camera: Any, policy: str) -> None:
    """Raise ConfigError for what cannot work, before anything is listened to."""
    _check_camera(camera)
    if policy == "lockstep" and _sensor_tick_s(camera):
        raise ConfigError(
            f"expected sensor_tick 0 for policy lockstep, got {_sensor_tick_s(camera):g}: let the "
            "camera draw in every tick, or use policy hold"
        )
