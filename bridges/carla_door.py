"""A drop-in rgb camera: the user's own carla sensor, whose images arrive photoreal.

carla's thread: keep the image -> worker: chunk -> engine -> overwrite pixels -> user's callback
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from realmaster_live.bridges.carla_camera import PICTURE_SENSOR
from realmaster_live.bridges.carla_geometry import cam_to_world, intrinsics
from realmaster_live.bridges.carla_images import overwrite, rgb
from realmaster_live.bridges.frame_join import StepCounter
from realmaster_live.chunk import Chunk
from realmaster_live.errors import ConfigError, FrameTimeout
from realmaster_live.protocols import Engine

log = logging.getLogger(__name__)

POLICIES = ("delay",)
WAITING_CHUNKS = 3  # how many chunks of images may wait for the engine before the oldest go
FLUSH_TIMEOUT_S = 60.0

Callback = Callable[[Any], None]


class RealizedCamera:
    """Behaves as the rgb camera it wraps, except that `listen` delivers realized pictures.

    The callback gets the simulator's own carla.Image objects: frame, timestamp, transform and fov
    are untouched, only the pixels were replaced. With policy `delay` each image comes once its
    chunk is complete and realized, so up to `delay_frames` ticks late: a loop that waits for the
    image of the tick it just made waits for ever, one that goes on ticking gets every image.
    Everything else is the wrapped camera's. Callbacks run on one thread, in order.

    Args:
        camera: a spawned `sensor.camera.rgb`, of the engine's size.
        engine: realizes the chunks; used by nobody else meanwhile.
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
        self._worker: _Worker | None = None
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
        self._worker = _Worker(name, self._engine, callback, every_tick=every_tick)
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


_Arrived = tuple[Any, float]  # carla.Image, host monotonic seconds


@dataclass
class _Group:
    """Images of one chunk: what came, how many make it full, how many were lost before it."""

    lost: int
    size: int
    arrived: list[_Arrived] = field(default_factory=list)


class _Worker:
    """The thread between a camera and a callback: bounded, in order, one chunk at a time."""

    def __init__(self, name: str, engine: Engine, callback: Callback, *, every_tick: bool) -> None:
        self.dropped = 0
        self.error: BaseException | None = None
        self._name, self._engine, self._callback = name, engine, callback
        self._every_tick = every_tick
        spec = engine.spec
        self._capacity = WAITING_CHUNKS * max(spec.frames, spec.first_frames)
        self._waiting: deque[_Arrived] = deque()
        self._finishing = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, name=f"realize-{name}", daemon=True)
        self._thread.start()

    def put(self, image: Any) -> None:
        """Keep an image; called on the client's threads, so nothing else happens here."""
        with self._changed:
            if self._finishing or self.error is not None:
                return
            self._waiting.append((image, time.monotonic()))
            if len(self._waiting) > self._capacity:
                self._waiting.popleft()
                self.dropped += 1
            self._changed.notify_all()

    def finish(self) -> None:
        """Realize and deliver what has arrived, and end; returns at once inside a callback."""
        with self._changed:
            self._finishing = True
            self._changed.notify_all()
        if threading.current_thread() is self._thread:
            return
        self._thread.join(FLUSH_TIMEOUT_S)
        if self._thread.is_alive():
            raise FrameTimeout(
                f"expected the last images within {FLUSH_TIMEOUT_S:g} s, got none: the engine or "
                "the callback is stuck"
            )

    def _run(self) -> None:
        try:
            self._deliver_all()
        except BaseException as error:
            log.exception("realizing %s ended", self._name)
            with self._changed:
                self.error = error
                self._waiting.clear()

    def _deliver_all(self) -> None:
        self._engine.reset()
        for index, group in enumerate(self._groups()):
            if group.lost:
                self._engine.reset()
            realized = self._engine.realize(_chunk(group, index, self._name)).frames
            for (image, _), picture in zip(group.arrived, realized, strict=False):
                overwrite(image, picture)
                self._callback(image)

    def _groups(self) -> Iterator[_Group]:
        """Yield images that follow one another without a gap, as many as the engine takes.

        Only a group that a gap or the end cuts off is shorter.
        """
        spec, steps = self._engine.spec, StepCounter(every_tick=self._every_tick)
        group = _Group(lost=0, size=spec.first_frames)
        while (arrived := self._next()) is not None:
            lost = steps.missed(arrived[0].frame)
            if lost:
                if group.arrived:
                    yield group
                group = _Group(lost=lost, size=spec.first_frames)
            group.arrived.append(arrived)
            if len(group.arrived) == group.size:
                yield group
                group = _Group(lost=0, size=spec.frames)
        if group.arrived:
            yield group

    def _next(self) -> _Arrived | None:
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._finishing)
            return self._waiting.popleft() if self._waiting else None


def _chunk(group: _Group, index: int, name: str) -> Chunk:
    """Return the group as a chunk; a short one is filled up with its last image."""
    images = [image for image, _ in group.arrived]
    times = [arrived_at for _, arrived_at in group.arrived]
    missing = group.size - len(images)
    images += images[-1:] * missing
    times += times[-1:] * missing
    first = images[0]
    return Chunk(
        index=index,
        camera=name,
        frames=np.stack([rgb(image) for image in images]),
        frame_ids=np.array([image.frame for image in images], np.int64),
        timestamps=np.array([image.timestamp for image in images], np.float64),
        captured_at=np.array(times, np.float64),
        intrinsics=intrinsics(first.width, first.height, first.fov),
        cam_to_world=np.stack([cam_to_world(i.transform.get_matrix()) for i in images]),
        dropped_before=group.lost,
    )


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
