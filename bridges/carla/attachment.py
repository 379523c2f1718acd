"""Cameras on one actor of one episode, and the ticks that all of them deliver.

client threads -> FrameJoin (by frame number) -> frames_of(): decode, pose, labels, objects
"""

from __future__ import annotations

import logging
import math
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from realmaster_live.bridges.carla.camera import CameraSet, check_same_view
from realmaster_live.bridges.carla.ego_sensors import EgoSensors
from realmaster_live.bridges.carla.geometry import body_to_world, cam_to_world
from realmaster_live.bridges.carla.images import LABEL_DECODERS, rgb
from realmaster_live.bridges.carla.measurements import state_of
from realmaster_live.bridges.carla.objects import SceneWatch, Tick
from realmaster_live.bridges.carla.session import CarlaSession
from realmaster_live.bridges.frame_join import FrameJoin
from realmaster_live.frames.chunk import Frame
from realmaster_live.frames.ego import EgoState
from realmaster_live.frames.geometry import pinhole
from realmaster_live.frames.objects import SceneObject
from realmaster_live.frames.source_info import SourceInfo

log = logging.getLogger(__name__)

WORLD = "world"  # the sender of each tick's state
WORLD_TICKS = 64  # capacity: states come every tick, long before the pictures, and are small
OWN_TOWN = "/MiniTown"  # in the names of the embedded town's maps
MEASURED_TICKS = 8  # of a world without a fixed time step


@dataclass(kw_only=True)
class Progress:
    """How far the world has come: written by the client's thread, read by whoever waits."""

    ticks: int = 0
    last_tick_at: float  # host monotonic clock, s
    deltas_s: tuple[float, ...] = ()  # of the newest ticks, simulated


class Attachment:
    """Subscriptions to the world's state and to all cameras.

    Args:
        session: attached to the episode.
        ego: the vehicle or walker that carries the cameras; None where an adopted one stands alone.
        cameras: spawned or adopted in this episode.
        object_range_m: how far frames report objects; None for none at all.
        sensors: what else measures on the ego.
    """

    def __init__(
        self,
        session: CarlaSession,
        ego: Any | None,
        cameras: Mapping[str, CameraSet],
        *,
        object_range_m: float | None,
        sensors: EgoSensors | None = None,
    ) -> None:
        self.ego, self.cameras, self.sensors = ego, cameras, sensors
        self.every_tick = all(camera.every_tick for camera in cameras.values())
        self.progress = progress = Progress(last_tick_at=time.monotonic())
        self._session = session
        self._abandoned = False
        self.has_delivered = False  # a frame of all cameras
        self._watch = watch = self._watch_scene(object_range_m)
        # those of our actors that a state has shown, as it has of an ego that was found
        self._present: set[int] = set() if ego is None else {ego.id}
        pictures = {
            _sender(camera.name, name): sensor
            for camera in cameras.values()
            for name, sensor in camera.sensors.items()
        }
        self.join = join = FrameJoin((WORLD, *pictures), capacities={WORLD: WORLD_TICKS})
        self.actors = [*([] if ego is None else [ego]), *pictures.values()]

        def keep_tick(snapshot: Any) -> None:
            progress.ticks += 1
            progress.last_tick_at = time.monotonic()
            deltas = (*progress.deltas_s, float(snapshot.timestamp.delta_seconds))
            progress.deltas_s = deltas[-MEASURED_TICKS:]
            tick = Tick(snapshot, {}) if watch is None else watch.observe(snapshot)
            control = _control_at(snapshot, ego, session.world)
            join.put(WORLD, snapshot.frame, tick._replace(control=control))

        session.watch(keep_tick)
        for name, sensor in pictures.items():
            session.listen(sensor, _store(join, name))

    def abandon(self) -> None:
        """Stop waiting for these cameras: others take their place."""
        self.join.close()
        self._abandoned = True

    def lost_actor(self) -> Any | None:
        """Return the ego or the sensor that the world no longer has; None while it has all.

        An actor counts as lost only after it was there: a new one shows up with the next tick.
        """
        if self._abandoned:
            return None
        snapshot = self._session.world.get_snapshot()
        for actor in self.actors:
            if snapshot.find(actor.id) is not None:
                self._present.add(actor.id)
            elif actor.id in self._present or self.has_delivered:
                return actor
        return None

    def ego_is_in(self, tick: Tick) -> bool:
        """Return whether the ego is part of a tick; its cameras may outlive it."""
        return self.ego is None or tick.snapshot.find(self.ego.id) is not None

    def step_s(self, fixed_delta_s: float | None) -> float | None:
        """Return the simulated seconds from one picture to the next.

        Where the world has no fixed time step, it is measured; None until there are enough ticks.
        """
        deltas = self.progress.deltas_s
        if not fixed_delta_s and len(deltas) < MEASURED_TICKS:
            return None
        tick_s = fixed_delta_s or statistics.median(deltas)
        camera = next(iter(self.cameras.values())).picture
        sensor_tick_s = float(camera.attributes.get("sensor_tick", 0.0))
        return tick_s * max(1, math.ceil(sensor_tick_s / tick_s - 1e-3))

    def frames_of(
        self,
        frame_id: int,
        items: Mapping[str, Any],
        *,
        dropped_before: int,
        source: SourceInfo | None = None,
    ) -> Iterator[Frame]:
        """Yield the frames of all cameras at one tick."""
        tick: Tick = items[WORLD]
        ego = None if self.ego is None else tick.snapshot.find(self.ego.id)
        ego_to_world = None if ego is None else body_to_world(ego.get_transform().get_matrix())
        state = None if ego is None else self._state(ego, frame_id, tick)
        objects: tuple[SceneObject, ...] | None = None
        for camera in self.cameras.values():
            picture, arrived_at = items[_sender(camera.name, "rgb")]
            images = {name: items[_sender(camera.name, name)][0] for name in camera.sensors}
            times = camera.supersample
            check_same_view(images, times)
            pose = cam_to_world(picture.transform.get_matrix())
            if objects is None:
                objects = () if self._watch is None else self._watch.at(tick, pose[:3, 3])
            yield Frame(
                camera=camera.name,
                frame_id=frame_id,
                timestamp=picture.timestamp,
                captured_at=arrived_at,
                image=rgb(picture, times),
                intrinsics=pinhole(picture.width // times, picture.height // times, picture.fov),
                cam_to_world=pose,
                labels={name: LABEL_DECODERS[name](images[name]) for name in camera.labels},
                dropped_before=dropped_before,
                ego_to_world=ego_to_world,
                objects=objects,
                source=source,
                ego=state,
            )

    def _state(self, ego: Any, frame_id: int, tick: Tick) -> EgoState:
        """Return what the ego did and measured at a tick."""
        measured = {} if self.sensors is None else self.sensors.at(frame_id)
        now_s = tick.snapshot.timestamp.elapsed_seconds
        return state_of(ego, frame_id, now_s, tick.control, **measured)

    def _watch_scene(self, range_m: float | None) -> SceneWatch | None:
        if range_m is None:
            return None
        world = self._session.world
        return SceneWatch(
            self._session.carla,
            world,
            own_id=None if self.ego is None else self.ego.id,
            numbered_by_actor=OWN_TOWN in world.get_map().name,
            range_m=range_m,
        )


class Detached(Exception):
    """The cameras are gone: `actor` was destroyed, or None where a world was loaded.

    The bridge's own code catches this, no user sees it.
    """

    def __init__(self, actor: Any | None) -> None:
        super().__init__()
        self.actor = actor


def _control_at(snapshot: Any, ego: Any | None, world: Any) -> Any | None:
    """Return the ego's control in a tick; None where the world has moved on meanwhile.

    CARLA's snapshots lack it, and a vehicle reports its newest one only.
    """
    if ego is None or not hasattr(ego, "get_control"):
        return None
    try:
        control = ego.get_control()
        return control if world.get_snapshot().frame == snapshot.frame else None
    except RuntimeError as error:  # the episode ended under it
        log.debug("the ego's control in frame %d: %s", snapshot.frame, error)
        return None


def _sender(camera: str, sensor: str) -> str:
    return f"{camera}/{sensor}"


def _store(join: FrameJoin, name: str) -> Callable[[Any], None]:
    """Return a callback that keeps the image and the time it came; nothing else runs there."""

    def callback(image: Any) -> None:
        join.put(name, image.frame, (image, time.monotonic()))

    return callback
