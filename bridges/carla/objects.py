"""The objects in a CARLA world, as of the very tick that a picture was taken at.

    tick -> observe(): the tick's snapshot and the lights' states, in the client's thread
    frame -> at(): the same tick's snapshot -> SceneObjects in our axes

What never changes of an actor (class, size, where its box sits) is queried once, when it first
appears. CARLA's boxes that bound no object are not used: the own box of a traffic light
or sign is the piece of road where it holds.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from realmaster_live.bridges.carla.geometry import (
    Matrix,
    body_to_world,
    unreal_matrix,
    world_points,
)
from realmaster_live.frames.classes import CLASS_IDS, CLASS_NAMES, THINGS
from realmaster_live.frames.objects import SceneObject

log = logging.getLogger(__name__)

RANGE_M = 150.0
LIGHT = "traffic.traffic_light"
LAMPS = ("red", "yellow", "green", "off")  # CARLA's fifth state is Unknown
FASTEST_M_S = 100.0  # what moved faster between two frames was put elsewhere
SMALLEST_M = 0.01  # CARLA gives some boxes without a volume
ID_MASK = 2**63 - 1  # CARLA's numbers of level geometry have 64 bits, ours a sign
HEAD_STEP = 1 << 32  # from one head of a traffic light to the next; actor ids have 32 bits
VEHICLES = frozenset(
    CLASS_IDS[name] for name in ("car", "truck", "bus", "train", "motorcycle", "bicycle")
)
BASE_TYPES = {"car": "car", "van": "car", "truck": "truck", "bus": "bus", "train": "train",
              "motorcycle": "motorcycle", "bicycle": "bicycle"}  # fmt: skip
LEVEL = VEHICLES | {CLASS_IDS["traffic_sign"]}  # lights and walkers are always actors


class Tick(NamedTuple):
    """One tick of the world: its snapshot, and what each traffic light showed, by actor id.

    `control` is the ego's; None where it is not known to be this very tick's.
    """

    snapshot: Any
    lights: Mapping[int, str]
    control: Any | None = None


@dataclass(frozen=True, slots=True)
class _Body:
    """What never changes of an actor that moves; `box_to_actor` is in CARLA's axes."""

    class_id: int
    type_id: str
    size: NDArray[np.float64]
    box_to_actor: Matrix
    mask_id: int


class SceneWatch:
    """Turns ticks of one world into SceneObjects.

    `observe` runs in the client's thread, `at` in that of the frames.

    Args:
        carla: the client's module. world: the client's world.
        own_id: the vehicle that carries the cameras; it is left out.
        numbered_by_actor: whether the instance label holds actor ids, as the embedded town's does;
            in Unreal it holds other numbers, and `mask_id` stays 0.
        range_m: what is farther from the camera is left out, by the middle of its box.
    """

    def __init__(
        self,
        carla: Any,
        world: Any,
        *,
        own_id: int | None,
        numbered_by_actor: bool,
        range_m: float = RANGE_M,
    ) -> None:
        self._world, self._range_m = world, range_m
        self._numbered_by_actor = numbered_by_actor
        self._bodies: dict[int, _Body | None] = {} if own_id is None else {own_id: None}
        self._lights: dict[int, Any] = {}
        self._states: Mapping[int, str] = {}  # in the last tick at which they were current
        self._static: list[SceneObject] = []  # heads of lights, and what belongs to the level
        self._light_of: list[int] = []  # the traffic light that each head belongs to, or 0
        self._before: tuple[float, Mapping[int, NDArray[np.float64]]] = (0.0, {})
        self._learn_level(carla)
        self._learn(world.get_actors())

    def observe(self, snapshot: Any) -> Tick:
        """Return the tick of `snapshot`; call it as soon as the tick is known.

        CARLA's snapshots lack the lights' states, and a light reports its current one only.
        It counts only where the world has not moved on since the tick, or where the light had
        the same in an earlier tick.
        """
        try:
            states = {key: str(light.state).lower() for key, light in list(self._lights.items())}
            current = self._world.get_snapshot().frame == snapshot.frame
        except RuntimeError as error:  # the episode ended under it
            log.debug("traffic lights of frame %d: %s", snapshot.frame, error)
            return Tick(snapshot, {})
        now = {key: state for key, state in states.items() if state in LAMPS}
        if current:
            self._states = now
            return Tick(snapshot, now)
        before = self._states
        return Tick(
            snapshot, {key: state for key, state in now.items() if before.get(key) == state}
        )

    def at(
        self,
        tick: Tick,
        eye: NDArray[np.float64],  # (3,) in our world, metres
    ) -> tuple[SceneObject, ...]:
        """Return what is in range of `eye` at this tick."""
        found = self._moving(tick.snapshot, eye)
        for n in self._near(self._places, eye):
            light = tick.lights.get(self._light_of[n], "")
            if self._static[n].light != light:
                self._static[n] = replace(self._static[n], light=light)
            found.append(self._static[n])
        return tuple(found)

    def _near(self, places: NDArray[np.float64], eye: NDArray[np.float64]) -> list[int]:
        squares = ((places - eye) ** 2).sum(axis=1)
        return [int(n) for n in np.flatnonzero(squares <= self._range_m**2)]

    def _moving(self, snapshot: Any, eye: NDArray[np.float64]) -> list[SceneObject]:
        actors = {one.id: one for one in snapshot}
        unknown = actors.keys() - self._bodies.keys()
        if unknown:
            self._learn_by_id(list(unknown))
        present = [
            (key, one, body) for key, one in actors.items() if (body := self._bodies.get(key))
        ]
        if not present:
            return []
        unreal = np.array([one.get_transform().get_matrix() for _, one, _ in present])
        poses = body_to_world(unreal @ np.array([body.box_to_actor for _, _, body in present]))
        places = poses[:, :3, 3]
        velocities = self._velocities(snapshot, places, [(key, one) for key, one, _ in present])
        found = []
        for n in self._near(places, eye):
            key, _, body = present[n]
            found.append(
                SceneObject(
                    object_id=key,
                    class_id=body.class_id,
                    type_id=body.type_id,
                    size=body.size,
                    object_to_world=poses[n],
                    velocity=velocities[n],
                    mask_id=body.mask_id,
                )
            )
        return found

    def _velocities(
        self,
        snapshot: Any,
        places: NDArray[np.float64],  # (N, 3)
        actors: Sequence[tuple[int, Any]],
    ) -> NDArray[np.float64]:
        """Return (N, 3) m/s: CARLA's, or the displacement a second where CARLA reports 0.

        Some walkers, and what a log replays, move without a velocity.
        """
        reported = [one.get_velocity() for _, one in actors]
        velocities = world_points([(v.x, v.y, v.z) for v in reported])
        (then, before), now = self._before, float(snapshot.timestamp.elapsed_seconds)
        if now > then:
            for n in np.flatnonzero(~velocities.any(axis=1)).tolist():
                moved = places[n] - before.get(actors[n][0], places[n])
                if np.linalg.norm(moved) < FASTEST_M_S * (now - then):
                    velocities[n] = moved / (now - then)
        self._before = now, {key: place for (key, _), place in zip(actors, places, strict=True)}
        return velocities

    def _learn_by_id(self, ids: list[int]) -> None:
        """Query actors that are new; one that is gone by now is not queried again."""
        try:
            actors = self._world.get_actors(ids)
        except RuntimeError as error:  # the server or the episode ended: the next wait notices
            log.debug("actors %s: %s", ids, error)
            return
        self._learn(actors)
        for key in ids:
            self._bodies.setdefault(key, None)

    def _learn(self, actors: Iterable[Any]) -> None:
        """Query what never changes of these actors."""
        for actor in actors:
            if actor.id in self._bodies:
                continue
            self._bodies[actor.id] = None
            try:
                if actor.type_id == LIGHT:
                    self._learn_light(actor)
                elif (class_id := class_of(actor)) is not None:
                    self._bodies[actor.id] = self._body(actor, class_id)
            except RuntimeError as error:  # destroyed by now, or dormant
                log.debug("actor %d: %s", actor.id, error)
        self._places = np.array([one.object_to_world[:3, 3] for one in self._static]).reshape(-1, 3)

    def _body(self, actor: Any, class_id: int) -> _Body | None:
        size, box = _size_and_place(actor.bounding_box)
        if size.min() < SMALLEST_M:
            log.warning("%s %d has a box of %s m: left out", actor.type_id, actor.id, size)
            return None
        return _Body(class_id, actor.type_id, size, box, self._mask_id(actor.id))

    def _learn_light(self, actor: Any) -> None:
        self._lights[actor.id] = actor
        for number, box in enumerate(actor.get_light_boxes()):
            self._add_static(
                actor.id + number * HEAD_STEP,
                CLASS_IDS["traffic_light"],
                actor.type_id,
                box,
                mask_id=self._mask_id(actor.id),
                light_of=actor.id,
            )

    def _learn_level(self, carla: Any) -> None:
        """Query the level's objects that are no actors, such as parked cars."""
        labels = carla.CityObjectLabel.values
        for class_id in sorted(LEVEL & labels.keys()):
            for one in self._world.get_environment_objects(labels[class_id]):
                self._add_static(
                    one.id & ID_MASK,
                    class_id,
                    f"level.{CLASS_NAMES[class_id]}",
                    one.bounding_box,
                    mask_id=self._mask_id(one.id),
                )

    def _add_static(
        self, number: int, class_id: int, type_id: str, box: Any, *, mask_id: int, light_of: int = 0
    ) -> None:
        """Add an object that never moves; CARLA gives its box in the world."""
        size, place = _size_and_place(box)
        if size.min() < SMALLEST_M:
            log.debug("%s %d has a box of %s m: left out", type_id, number, size)
            return
        self._light_of.append(light_of)
        self._static.append(
            SceneObject(
                object_id=number,
                class_id=class_id,
                type_id=type_id,
                size=size,
                object_to_world=body_to_world(place),
                velocity=np.zeros(3),
                fixed=not light_of,
                mask_id=mask_id,
            )
        )

    def _mask_id(self, number: int) -> int:
        return number & 0xFFFF if self._numbered_by_actor else 0


def class_of(actor: Any) -> int | None:
    """Return an actor's class number as in its mask, None for what is no object.

    The parts of a two-wheeler are tagged as vehicle and rider alike: the vehicle counts. The own
    box of a traffic sign is the road where it holds, so that signs are taken from the level.
    """
    kind = actor.type_id.partition(".")[0]
    if kind == "walker":
        return CLASS_IDS["pedestrian"]
    tags = [tag for tag in actor.semantic_tags if tag in THINGS and tag != CLASS_IDS["rider"]]
    if kind == "vehicle":
        vehicles = VEHICLES.intersection(tags)
        named = BASE_TYPES.get(str(actor.attributes.get("base_type", "")).lower())
        if len(vehicles) == 1 or named is None:
            return min(vehicles, default=CLASS_IDS["car"])
        return CLASS_IDS[named]
    return tags[0] if kind == "static" and tags else None


def _size_and_place(box: Any) -> tuple[NDArray[np.float64], Matrix]:
    """Return a CARLA box's full size (3,) and its (4, 4) place, still in CARLA's axes."""
    size = 2.0 * np.array([box.extent.x, box.extent.y, box.extent.z])
    turn = box.rotation
    place = unreal_matrix(
        (box.location.x, box.location.y, box.location.z), (turn.pitch, turn.yaw, turn.roll)
    )
    return np.where(np.isfinite(size), size, 0.0), place
