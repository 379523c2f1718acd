"""CarlaBridge: frames with labels and poses out of a running CARLA world, which stays its owner's.

    client threads -> FrameJoin (by frame number) -> frames(): decode, pose, labels, things -> Frame

Either we own the tick, or we are passive and somebody else does, or the world runs freely.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from realmaster_live.bridges.carla.camera import (
    CameraSet,
    adopt_camera,
    check_same_view,
    describe,
    find_camera,
    find_ego,
    spawn_camera,
)
from realmaster_live.bridges.carla.geometry import body_to_world, cam_to_world, intrinsics
from realmaster_live.bridges.carla.images import LABEL_DECODERS, rgb
from realmaster_live.bridges.carla.objects import RANGE_M, SceneWatch, Tick
from realmaster_live.bridges.carla.session import CarlaSession
from realmaster_live.bridges.exit_guard import ExitGuard, deferred_signals
from realmaster_live.bridges.frame_join import BridgeClosed, FrameJoin, StepCounter
from realmaster_live.errors import (
    BridgeError,
    ConfigError,
    ConnectError,
    FrameTimeout,
    SensorMismatch,
)
from realmaster_live.frames.chunk import Frame
from realmaster_live.frames.objects import SceneObject
from realmaster_live.frames.rig import DEFAULT_LABELS, Mount, Rig, RigCamera

log = logging.getLogger(__name__)

SETTLE_WAIT_S = 0.05  # a new sensor's stream is connected a moment after listen() returns
STALL_PROBE_S = 1.0
OTHER_TICKER_S = 0.3
WORLD = "world"  # the sender of each tick's state
WORLD_TICKS = 64  # so many may wait: they come every tick, long before the pictures, and are small
OWN_TOWN = "/MiniTown"  # in the names of the embedded town's maps


class CarlaBridge:
    """A Source of Frames from a running CARLA server.

    Attaches when made. Never loads a map; changes settings only with `synchronous`; `close`, and
    every other way out that Python can see, destroys what was spawned and restores what was
    changed. Use it as a context manager.

    Args:
        host: where the server runs. port: its RPC port.
        ego: role name or actor id of the vehicle; None takes role `hero` or `ego_vehicle`, else
            the first vehicle.
        width: picture width in pixels. height: picture height. fov_deg: horizontal field of view.
        mount: where our camera sits on the vehicle.
        labels: names out of `depth`, `semantic`, `instance`, `flow`; one camera each is spawned.
        adopt: actor id of the user's own rgb camera, to use instead of spawning one; its size,
            field of view and place replace those given here.
        synchronous: True: we own the tick, the world runs at `fixed_delta_s` and each frame is the
            one our tick made. False: somebody else ticks or the world runs freely, nothing is
            changed, and frames lost on the way are counted in `Frame.dropped_before`.
        fixed_delta_s: simulated seconds a tick while we own it.
        timeout_s: longest wait for the server and for a frame.
        name: what `Frame.camera` says.
        rig: several cameras, to spawn instead of the one that the arguments above describe. Each
            tick then gives one frame a camera, all of one number, in the rig's order.
        objects: whether frames tell the things around them; costs about a millisecond a tick.
        object_range_m: how far from the first camera things are told; the vehicle itself never is.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 2000,
        *,
        ego: str | int | None = None,
        width: int = 512,
        height: int = 288,
        fov_deg: float = 80.0,
        mount: Mount | None = None,
        labels: Sequence[str] = DEFAULT_LABELS,
        adopt: int | None = None,
        synchronous: bool = True,
        fixed_delta_s: float = 0.05,
        timeout_s: float = 10.0,
        name: str = "front",
        rig: Rig | None = None,
        objects: bool = True,
        object_range_m: float = RANGE_M,
    ) -> None:
        if rig is not None and adopt is not None:
            raise ConfigError(
                f"expected a rig or a camera to adopt, got both: leave out adopt={adopt}"
            )
        only = RigCamera(
            name=name,
            width=width,
            height=height,
            fov_deg=fov_deg,
            mount=mount or Mount(),
            labels=tuple(labels),
        )
        self.timeout_s = timeout_s
        self._rig = rig or Rig((only,))
        self._wanted_ego, self._adopt = ego, adopt
        self._objects, self._object_range_m = objects, object_range_m
        self._synchronous, self._fixed_delta_s = synchronous, fixed_delta_s
        self._ticking = threading.Lock()
        self._closed = False
        self._join = FrameJoin((WORLD,))
        self._last_tick: int | None = None
        self._reloaded = False
        self._session = CarlaSession(host, port, timeout_s)
        self._guard = ExitGuard(self.close)
        self._guard.arm()
        try:
            self._attach()
        except BaseException:
            self.close()
            raise

    @property
    def cameras(self) -> Mapping[str, CameraSet]:
        """The sensors in use, by the cameras' names."""
        return self._cameras

    @property
    def ego(self) -> Any | None:
        """The vehicle that carries the cameras; None where an adopted one stands alone."""
        return self._ego

    def frames(self) -> Iterator[Frame]:
        """Yield one Frame a tick and camera until `close`; blocks while the next one is due.

        Raises FrameTimeout when a frame does not come, ConnectError when the server is gone,
        SensorMismatch when the world is reloaded and the vehicle or camera is not in the new one.
        After a reload that has them, goes on there with a gap of at least one frame.
        """
        steps = StepCounter(every_tick=self._every_tick)
        while not self._closed:
            try:
                frame_id, items = self._follow_frame()
            except BridgeClosed:
                return
            lost = max(steps.missed(frame_id), int(self._reloaded))
            self._reloaded = False
            yield from self._moment(frame_id, items, lost)

    def close(self) -> None:
        """Stop, destroy and restore; may be called twice and from any thread."""
        try:
            with deferred_signals():
                self._closed = True
                self._join.close()
                # A tick under way in another thread ends within the session's own timeout.
                held = self._ticking.acquire(timeout=self.timeout_s + 1.0)
                try:
                    self._session.close()
                finally:
                    if held:
                        self._ticking.release()
        finally:
            self._guard.disarm()  # outside: inside, the handlers in place are the deferring ones

    def describe(self) -> dict[str, Any]:
        """Return what a recording should remember of this run, as plain JSON values."""
        said = describe(self._session, self._ego, self._cameras)
        said["we_tick"] = self._synchronous
        said["labels"] = said["camera"]["labels"]
        said["object_range_m"] = self._object_range_m if self._objects else None
        return said

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _attach(self) -> None:
        """Find or spawn the cameras, take the tick if asked to, and wait until all deliver."""
        session = self._session
        if session.world.get_settings().synchronous_mode:
            # A new client sees no actor of a synchronous world before the next tick.
            self._see_first_tick()
        adopted = None if self._adopt is None else find_camera(session.world, self._adopt)
        ego = find_ego(session.world, self._wanted_ego) if adopted is None else adopted.parent
        if self._synchronous:
            session.change_settings(synchronous_mode=True, fixed_delta_seconds=self._fixed_delta_s)
        if adopted is not None:
            only = self._rig.cameras[0]
            cameras = [adopt_camera(session, adopted, name=only.name, labels=only.labels)]
        else:
            cameras = [spawn_camera(session, ego, camera) for camera in self._rig.cameras]
        self._every_tick = all(camera.every_tick for camera in cameras)
        if self._synchronous and not self._every_tick:
            raise SensorMismatch(
                f"expected a camera that draws every tick, got sensor_tick="
                f"{cameras[0].picture.attributes['sensor_tick']} on camera "
                f"{cameras[0].picture.id}: use synchronous=False for it"
            )
        self._ego, self._cameras = ego, {camera.name: camera for camera in cameras}
        self._listen()
        if self._synchronous:
            self._settle()

    def _listen(self) -> None:
        """Subscribe to the world's state and to all sensors."""
        session = self._session
        sensors = {
            _sender(camera.name, name): sensor
            for camera in self._cameras.values()
            for name, sensor in camera.sensors.items()
        }
        self._join = join = FrameJoin((WORLD, *sensors), capacities={WORLD: WORLD_TICKS})
        self._watch = watch = self._watch_scene() if self._objects else None

        def keep_tick(snapshot: Any) -> None:
            tick = Tick(snapshot, {}) if watch is None else watch.observe(snapshot)
            join.put(WORLD, snapshot.frame, tick)

        session.watch(keep_tick)
        for name, sensor in sensors.items():
            session.listen(sensor, _store(join, name))

    def _watch_scene(self) -> SceneWatch:
        world = self._session.world
        return SceneWatch(
            self._session.carla,
            world,
            own_id=None if self._ego is None else self._ego.id,
            numbered_by_actor=OWN_TOWN in world.get_map().name,
            range_m=self._object_range_m,
        )

    def _see_first_tick(self) -> None:
        """Wait for a tick of somebody else's, or make one where the tick is ours."""
        world = self._session.world
        wait_s = OTHER_TICKER_S if self._synchronous else self.timeout_s
        try:
            world.wait_for_tick(wait_s)
        except RuntimeError as error:
            if self._synchronous:
                self._tick()
                return
            raise FrameTimeout(
                f"expected a tick of the synchronous world within {self.timeout_s:g} s, got none: "
                "start the client that ticks it, or use synchronous=True to tick it from here"
            ) from error
        if self._synchronous:
            raise BridgeError(
                "expected a world that nobody ticks, got one that another client ticks: use "
                "synchronous=False to ride along"
            )

    def _settle(self) -> None:
        """Tick until every camera has delivered one and the same frame."""
        deadline = time.monotonic() + self.timeout_s
        wait_s = SETTLE_WAIT_S
        while True:
            self._tick()
            try:
                self._join.take_next(wait_s)
            except FrameTimeout:
                if time.monotonic() > deadline:
                    raise
                wait_s = min(2.0 * wait_s, self.timeout_s)
            else:
                return

    def _tick(self) -> int:
        """Advance the world and return the number of the frame that this makes."""
        with self._ticking:
            if self._closed:
                raise BridgeClosed
            try:
                tick_id = int(self._session.world.tick(self.timeout_s))
            except RuntimeError as error:
                raise self._explain(error) from error
        if self._last_tick is not None and tick_id != self._last_tick + 1:
            log.warning("frame %d follows %d: another client ticks too", tick_id, self._last_tick)
        self._last_tick = tick_id
        return tick_id

    def _follow_frame(self) -> tuple[int, Mapping[str, Any]]:
        """Return the next frame's number and images, in whatever world is loaded by then."""
        while True:
            try:
                return self._tick_frame() if self._synchronous else self._next_frame()
            except _Reloaded:
                self._follow_reload()
                self._reloaded = True

    def _tick_frame(self) -> tuple[int, Mapping[str, Any]]:
        tick_id = self._tick()
        if self._session.was_reloaded():
            raise _Reloaded
        try:
            return tick_id, self._join.take(tick_id, self.timeout_s)
        except FrameTimeout as error:
            if self._session.was_reloaded():
                raise _Reloaded from error
            raise

    def _next_frame(self) -> tuple[int, Mapping[str, Any]]:
        deadline = time.monotonic() + self.timeout_s
        while True:
            wait_s = min(STALL_PROBE_S, max(0.0, deadline - time.monotonic()))
            try:
                return self._join.take_next(wait_s)
            except FrameTimeout as error:
                if self._session.was_reloaded():
                    raise _Reloaded from error
                if not self._session.is_reachable() or time.monotonic() > deadline:
                    raise self._explain(error) from error

    def _explain(self, error: Exception) -> BridgeError:
        """Return the error to raise for a wait that ended without a frame."""
        session = self._session
        if not session.is_reachable():
            return ConnectError(
                f"expected the server at {session.host}:{session.port} to go on, got no answer: "
                "it ended or the network broke, start it and attach again"
            )
        return FrameTimeout(
            f"expected the next frame within {self.timeout_s:g} s, got {error}: see that the "
            "world is ticked and rendered, or raise timeout_s"
        )

    def _follow_reload(self) -> None:
        log.warning("another client loaded a world: attaching again")
        self._join.close()
        self._session.follow_reload()
        self._last_tick = None
        deadline = time.monotonic() + self.timeout_s
        while True:
            try:
                self._attach()
            except SensorMismatch:
                if time.monotonic() > deadline or self._adopt is not None:
                    raise
                time.sleep(0.2)  # whoever loads a world spawns its vehicles a moment later
            else:
                return

    def _moment(self, frame_id: int, items: Mapping[str, Any], lost: int) -> Iterator[Frame]:
        """Yield the frames of all cameras at one tick."""
        tick: Tick = items[WORLD]
        ego = None if self._ego is None else tick.snapshot.find(self._ego.id)
        ego_to_world = None if ego is None else body_to_world(ego.get_transform().get_matrix())
        objects: tuple[SceneObject, ...] | None = None
        for camera in self._cameras.values():
            picture, arrived_at = items[_sender(camera.name, "rgb")]
            bare = {name: items[_sender(camera.name, name)][0] for name in camera.sensors}
            check_same_view(bare)
            pose = cam_to_world(picture.transform.get_matrix())
            if objects is None:
                objects = () if self._watch is None else self._watch.at(tick, pose[:3, 3])
            yield Frame(
                camera=camera.name,
                frame_id=frame_id,
                timestamp=picture.timestamp,
                captured_at=arrived_at,
                image=rgb(picture),
                intrinsics=intrinsics(picture.width, picture.height, picture.fov),
                cam_to_world=pose,
                labels={name: LABEL_DECODERS[name](bare[name]) for name in camera.labels},
                dropped_before=lost,
                ego_to_world=ego_to_world,
                objects=objects,
            )


class _Reloaded(Exception):
    """Another client loaded a world."""


def _sender(camera: str, sensor: str) -> str:
    return f"{camera}/{sensor}"


def _store(join: FrameJoin, name: str) -> Callable[[Any], None]:
    """Return a callback that keeps the image and the time it came; nothing else runs there."""

    def callback(image: Any) -> None:
        join.put(name, image.frame, (image, time.monotonic()))

    return callback
