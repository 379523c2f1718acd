"""A drop-in rgb camera: the user's own carla sensor, whose images arrive photoreal.

carla's thread: keep the image -> worker: chunk -> engine -> overwrite pixels -> user's callback
"""

from __future__ import annotations

import logging
from typing import Any

from realmaster_live.bridges.carla.ego import PICTURE_SENSOR
from realmaster_live.bridges.carla.image_worker import Callback, ImageWorker
from realmaster_live.errors import ConfigError
from realmaster_live.protocols import Engine

log = logging.getLogger(__name__)

POLICIES = ("delay",)


class RealizedCamera:
    """Behaves as the rgb camera it wraps, except that `listen` delivers realized pictures.

    The callback gets the simulator's own carla.Image objects: frame, timestamp, transform and fov
    are untouched, only the pixels were replaced. With policy `delay` each image comes once its
    chunk is complete and realized, so up to `delay_frames` ticks late: a loop that waits for the
    image of the tick it just made never gets it, one that goes on ticking gets every image.
    Everything else is the wrapped camera's. Callbacks run on one thread, in order.

    Args:
        camera: a spawned `sensor.camera.rgb`, of the engine's size.
        engine: realizes the chunks; not to be shared while the camera listens.
        policy: `delay`.
        close_engine: whether `destroy` closes the engine too.
    """

    def __init__(
        self, camera: Any, engine: Engine, *, policy: str = "delay", close_engine: bool = False
    ) -> None:
        _check(camera, engine, policy)
        self._camera = camera
        self._engine = engine
        self._close_engine = close_engine
        self._worker: ImageWorker | None = None
        self._dropped = 0

    @property
    def camera(self) -> Any:
        """The wrapped carla sensor, for calls that insist on one."""
        return self._camera

    @property
    def delay_frames(self) -> int:
        """How many ticks the oldest image of a chunk is late, before the engine's own time."""
        spec = self._engine.spec
        return max(spec.frames, spec.first_frames) - 1

    @property
    def dropped(self) -> int:
        """How many images were lost because the engine was slower than the camera."""
        return self._dropped + (self._worker.dropped if self._worker else 0)

    def listen(self, callback: Callback) -> None:
        """Deliver realized images to `callback` until `stop`."""
        self.stop()
        log.warning(
            "camera %d is realized in chunks: each image comes up to %d frames after its tick",
            self._camera.id,
            self.delay_frames,
        )
        name, every_tick = f"camera-{self._camera.id}", _sensor_tick_s(self._camera) == 0.0
        self._worker = ImageWorker(name, self._engine, callback, every_tick=every_tick)
        self._camera.listen(self._worker.put)

    def stop(self) -> None:
        """Stop listening, realize and deliver what has arrived, then raise what went wrong.

        Raises the first exception of the engine or of the callback. May be called twice.
        """
        worker = self._worker
        if worker is None:
            return
        if self._camera.is_alive and self._camera.is_listening():
            self._camera.stop()
        worker.finish()
        self._worker = None
        self._dropped += worker.dropped
        if worker.error is not None:
            raise worker.error

    def destroy(self) -> bool:
        """Stop, destroy the wrapped camera, and close the engine where it is ours."""
        try:
            self.stop()
        finally:
            if self._close_engine:
                self._engine.close()
            destroyed = bool(self._camera.destroy())
        return destroyed

    def __getattr__(self, name: str) -> Any:
        """Return the wrapped camera's attribute; raise first what went wrong in the background."""
        worker = self.__dict__.get("_worker")
        if worker is not None and worker.error is not None:
            self.stop()
        return getattr(self.__dict__["_camera"], name)


def picture_format(camera: Any) -> tuple[int, int, float]:
    """Return width and height in pixels and frames a simulated second of a carla camera.

    A world without a fixed time step has no frame rate: 20 is what it is taken for.
    """
    if camera.type_id != PICTURE_SENSOR:
        raise _not_a_picture(camera)
    tick_s = _sensor_tick_s(camera) or camera.get_world().get_settings().fixed_delta_seconds
    return *_size(camera), 1.0 / (tick_s or 0.05)


def _size(camera: Any) -> tuple[int, int]:
    return int(camera.attributes["image_size_x"]), int(camera.attributes["image_size_y"])


def _sensor_tick_s(camera: Any) -> float:
    return float(camera.attributes.get("sensor_tick", 0.0))


def _not_a_picture(camera: Any) -> ConfigError:
    return ConfigError(
        f"expected a {PICTURE_SENSOR}, got a {camera.type_id}: only colour can be realized"
    )


def _check(camera: Any, engine: Engine, policy: str) -> None:
    """Raise ConfigError for what cannot work, before anything is listened to."""
    if policy not in POLICIES:
        raise ConfigError(
            f"expected policy {' or '.join(POLICIES)}, got {policy!r}: a chunk exists only after "
            "its last tick, so images can only come late"
        )
    if camera.type_id != PICTURE_SENSOR:
        raise _not_a_picture(camera)
    spec = engine.spec
    got = _size(camera)
    if got != (spec.width, spec.height):
        raise ConfigError(
            f"expected a camera of {spec.width}x{spec.height}, the one size this engine fits, got "
            f"{got[0]}x{got[1]}: set image_size_x={spec.width} and image_size_y={spec.height} on "
            "its blueprint, or load an engine of the camera's size"
        )
