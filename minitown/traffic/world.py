"""The world: a town's actors and how each tick moves them. No networking."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Protocol

import numpy as np

from realmaster_live.errors import ActorError
from realmaster_live.minitown.models.bodies import WALKER_CENTRE
from realmaster_live.minitown.models.objects import EnvironmentObject
from realmaster_live.minitown.plan.boxes import box_of, overlap
from realmaster_live.minitown.plan.lanes import LaneMap
from realmaster_live.minitown.plan.roads import RoadNetwork
from realmaster_live.minitown.scene import CameraView, Instance, SceneState, Weather
from realmaster_live.minitown.traffic.actors import Actor, make_actor
from realmaster_live.minitown.traffic.blueprints import LIBRARY, LIGHT, NOT_SPAWNABLE, SPECTATOR
from realmaster_live.minitown.traffic.collisions import HEADROOM, Collision, collide
from realmaster_live.minitown.traffic.crowd import Crowd
from realmaster_live.minitown.traffic.drivers import Traffic
from realmaster_live.minitown.traffic.junctions import Junctions
from realmaster_live.minitown.traffic.obstacles import Obstacles
from realmaster_live.minitown.traffic.sensor_blueprints import DONE, NOT_DONE
from realmaster_live.minitown.traffic.settings import Settings, parts_of_step
from realmaster_live.minitown.traffic.signals import Signals
from realmaster_live.minitown.traffic.vehicle import VehicleControl, change, velocity_of
from realmaster_live.minitown.transforms import ZERO, Pose, Vector, compose, matrix, pose_of

SPAWN_COLLISION = "Spawn failed because of collision at spawn position"  # the text CARLA uses
DEFAULT_LIMIT = 8.33  # m/s off the lanes
MOST_ACTORS = 1024
MOST_MOUNTED = 8  # actors that are mounted on one another in a chain
LARGEST_ID = 2**31  # of an actor from a log: new ids follow it, and the wire's have 32 bits
EDGE_M = 1e6  # no actor goes farther from the map's origin
POLE_EXTENT = (0.05, 0.05, 2.0)  # half size, metres, of a light's pole
LIGHT_RANGE = 6.0  # metres before a line from which CARLA says that a vehicle is at the light


class Replayer(Protocol):
    """What moves actors in place of their drivers, as a recorded log prescribes."""

    def step(self, dt: float) -> None:
        """Move its actors on by `dt` seconds."""

    def stop(self, *, keep_actors: bool) -> None:
        """End, and return its actors to their drivers or destroy those it spawned."""


class World:
    """Every actor of one town, advanced by `step`; the same calls give the same world."""

    def __init__(
        self,
        network: RoadNetwork,
        *,
        seed: int = 0,
        extents: Mapping[str, Vector] | None = None,
        things: Iterable[EnvironmentObject] = (),
        first_id: int = 1,
    ) -> None:
        """Put lights and spectator into the town.

        `extents` overrides half sizes by model. `things` stand still and stop vehicles.
        `first_id` is the first actor's: a server's numbers go on from world to world.
        """
        self.network, self.seed, self.extents = network, seed, extents
        self.obstacles = Obstacles(things)
        self.settings, self.weather = Settings(), Weather()
        self.frame, self.time_s = 0, 0.0
        self.actors: dict[int, Actor] = {}
        self.collisions: list[Collision] = []
        self.lane_map = LaneMap(network)
        self.signals = Signals(network)
        self.junctions = Junctions(network, self.lane_map)
        self.traffic = Traffic(self.lane_map, self.junctions, self.signals)
        self.crowd = Crowd(network, self.junctions, self.signals, self.lane_map)
        self.replayer: Replayer | None = None
        self._next_id = first_id
        self.spectator = self._add(SPECTATOR, Pose(z=20.0, pitch=-30.0))
        self.light_actors: dict[int, int] = {}
        self._lights_by_pole: dict[int, int] = {}  # what stands where a light stands is the light
        for signal in network.signals.values():
            actor = self._add(LIGHT, Pose(*signal.position, yaw=signal.yaw_deg))
            actor.light = self.signals.lights[signal.id]
            self.light_actors[signal.id] = actor.id
            for pole in self.obstacles.touched_by(box_of(actor.pose, POLE_EXTENT)):
                self._lights_by_pole[pole.id] = actor.id

    @property
    def next_id(self) -> int:
        """Return the id that the next actor gets."""
        return self._next_id

    def spawn(
        self,
        type_id: str,
        pose: Pose,
        *,
        attributes: Mapping[str, str] | None = None,
        parent: int = 0,
        attachment: int = 0,
    ) -> Actor:
        """Make an actor; with a `parent`, `pose` is in the parent's axes.

        Raises:
            ActorError: the blueprint or the parent is unknown, or the place is taken.
        """
        if type_id in NOT_DONE:
            raise ActorError(
                f"expected a sensor that minitown has, got {type_id}: use one of "
                f"{', '.join(DONE)}, or a full CARLA server"
            )
        if type_id not in LIBRARY or type_id in NOT_SPAWNABLE:
            raise ActorError(
                f"expected a blueprint of the library, got {type_id[:80]!r}: "
                "choose one of world.get_blueprint_library()"
            )
        if len(self.actors) >= MOST_ACTORS:
            raise ActorError(
                f"expected at most {MOST_ACTORS} actors, got one more: destroy some before"
            )
        if parent:
            host = self.get(parent)
            self._check_depth(host)
            actor = self._add(type_id, compose(host.pose, pose), attributes)
            actor.parent, actor.attachment, actor.relative = parent, attachment, pose
            return actor
        actor = make_actor(
            self._next_id, LIBRARY[type_id], pose, attributes=attributes, extents=self.extents
        )
        if actor.walker is not None:  # CARLA, too, lifts a body out of the ground
            feet_on_ground = self.lane_map.level + WALKER_CENTRE
            actor.pose = actor.relative = pose._replace(z=max(pose.z, feet_on_ground))
        if actor.moves and any(True for _ in self._touching(actor)):
            raise ActorError(SPAWN_COLLISION)
        self.actors[actor.id] = actor
        self._next_id += 1
        return actor

    def revive(
        self, actor_id: int, type_id: str, pose: Pose, attributes: Mapping[str, str]
    ) -> Actor:
        """Make an actor wherever it is, under its former id where that is free.

        Raises:
            ActorError: the blueprint is unknown.
        """
        if type_id not in LIBRARY or type_id in NOT_SPAWNABLE:
            raise ActorError(f"expected a blueprint of the library, got {type_id!r}")
        if len(self.actors) >= MOST_ACTORS:
            raise ActorError(f"expected at most {MOST_ACTORS} actors, got one more in a log")
        following = self._next_id
        free = 0 < actor_id < LARGEST_ID and actor_id not in self.actors
        self._next_id = actor_id if free else following
        actor = self._add(type_id, pose, attributes)
        self._next_id = max(following, self._next_id)
        return actor

    def spawn_free(
        self, type_id: str, pose: Pose, attributes: Mapping[str, str] | None = None
    ) -> Actor | None:
        """Make an actor, or return None when the place is taken."""
        try:
            return self.spawn(type_id, pose, attributes=attributes)
        except ActorError as error:
            if str(error) == SPAWN_COLLISION:
                return None
            raise

    def spawn_ego(
        self,
        spawn_index: int = 0,
        *,
        type_id: str = "vehicle.lincoln.mkz_2020",
        autopilot: bool = True,
    ) -> Actor:
        """Make the vehicle that carries the cameras at the first free spawn point from an index."""
        points = self.network.starts
        for n in range(len(points)):
            point = points[(spawn_index + n) % len(points)]
            pose = Pose(*point.location, yaw=point.yaw_deg)
            actor = self.spawn_free(type_id, pose, {"role_name": "hero"})
            if actor is None:
                continue
            if autopilot:
                self.set_autopilot(actor.id, True)
            return actor
        raise ActorError(
            f"expected a free spawn point, got {len(points)} taken ones: destroy some vehicles"
        )

    def destroy(self, actor_id: int) -> bool:
        """Remove an actor and what is mounted on it; False when there is no such actor."""
        actor = self.actors.get(actor_id)
        if actor is None or actor.type_id in NOT_SPAWNABLE:
            return False
        for other in list(self.actors.values()):
            if other.parent == actor_id:
                self.destroy(other.id)
        self.traffic.remove(actor_id)
        self.crowd.remove(actor_id)
        del self.actors[actor_id]
        return True

    def get(self, actor_id: int) -> Actor:
        """Return an actor; raise ActorError when there is none with the id."""
        try:
            return self.actors[actor_id]
        except KeyError:
            raise ActorError(
                f"expected a living actor, got id {actor_id}: it was destroyed or never spawned"
            ) from None

    def set_autopilot(self, actor_id: int, on: bool) -> None:
        """Give the wheel to the town's own driver, or take it back."""
        actor = self.get(actor_id)
        if actor.vehicle is None:
            raise ActorError(f"expected a vehicle, got {actor.type_id}: it cannot drive itself")
        self.traffic.remove(actor_id)
        actor.vehicle.autopilot = on and self.traffic.add(actor, self.seed)

    def set_pose(self, actor_id: int, pose: Pose) -> None:
        """Put an actor at a pose of the world, mounted or not."""
        actor = self.get(actor_id)
        if actor.parent in self.actors:
            host = matrix(self.actors[actor.parent].pose)
            actor.relative = pose_of(np.linalg.inv(host) @ matrix(pose))
        actor.pose = pose
        if actor_id in self.traffic.drivers:
            self.set_autopilot(actor_id, True)

    def step(self, dt: float) -> int:
        """Move the world on by `dt` seconds, in parts if long; returns the new frame number."""
        self.frame += 1
        self.collisions = []
        begin, parts = self.time_s, parts_of_step(dt)
        for part in range(1, parts + 1):
            self.time_s = begin + dt * (part / parts)
            self._advance(dt / parts)
        for actor in self.actors.values():
            vehicle = actor.vehicle
            if vehicle is not None and vehicle.physics and not vehicle.sticky:
                vehicle.control = VehicleControl()
        return self.frame

    def _advance(self, dt: float) -> None:
        """Move everything on by `dt` seconds."""
        self.signals.step(dt)
        bodies = [actor for actor in self.actors.values() if actor.moves]
        self.traffic.step(bodies, self.time_s, self.weather.sun_altitude_angle)
        vehicles = [actor for actor in bodies if actor.vehicle is not None]
        before = {actor.id: (actor.pose, actor.velocity) for actor in bodies}
        stopped = []
        for actor in vehicles:
            self._drive(actor, dt)
            stopped += self._stop(actor, before[actor.id][0], dt)
        self.crowd.step(self.actors, vehicles, dt)
        for actor in bodies:
            if actor.walker is None:
                continue
            if actor.walker.guided_to is not None:
                actor.pose = actor.walker.follow(actor.pose, dt)
            elif actor.walker.physics and actor.id not in self.crowd:
                actor.pose = actor.walker.advance(actor.pose, dt)
        if self.replayer is not None:
            self.replayer.step(dt)
            bodies = [actor for actor in bodies if actor.id in self.actors]
            bodies += [a for a in self.actors.values() if a.moves and a.id not in before]
            before |= {a.id: (a.pose, a.velocity) for a in bodies if a.id not in before}
        poses = {key: pose for key, (pose, _) in before.items()}
        self.collisions += stopped + collide(bodies, poses, dt)
        for actor in bodies:
            pose, velocity = before[actor.id]
            if actor.vehicle is not None:
                pose = pose._replace(z=actor.pose.z)  # being put on the ground is no motion
            actor.velocity = velocity_of(pose, actor.pose, dt)
            actor.acceleration = change(velocity, actor.velocity, dt)
        self.mount()

    def mount(self) -> None:
        """Bring every mounted actor to where its parent is."""
        for actor in self.actors.values():
            if actor.parent in self.actors:
                host = self.actors[actor.parent]
                actor.pose = compose(host.pose, actor.relative)
                actor.velocity, actor.acceleration = host.velocity, host.acceleration
                actor.angular_velocity = host.angular_velocity

    def road_rules(self, actor: Actor) -> tuple[int, float]:
        """Return what holds for a vehicle where it is: the signal's id, 0 for none, and m/s."""
        driver = self.traffic.drivers.get(actor.id)
        if driver is not None:
            key, s = driver.route[0], driver.s
        else:
            place = self.lane_map.nearest(actor.pose.x, actor.pose.y, actor.pose.yaw)
            if place is None:
                return 0, DEFAULT_LIMIT
            key, s = place.key, place.s
        one = self.lane_map.tracks[key]
        speed = actor.vehicle.speed if actor.vehicle is not None else 0.0
        reach = max(LIGHT_RANGE, 3.0 + speed**2 / 10.0) + actor.extent[0]
        return (one.lane.signal if one.length - s < reach else 0), one.lane.speed_limit

    def scene_state(self) -> SceneState:
        """Return what a renderer needs to draw this tick."""
        return SceneState(
            town_seed=self.network.seed,
            frame=self.frame,
            time_s=self.time_s,
            weather=self.weather,
            instances=tuple(self._instances()),
        )

    def camera_view(self, actor_id: int) -> CameraView:
        """Return the pinhole of a camera actor, from its own attributes."""
        actor = self.get(actor_id)
        return CameraView(
            cam_to_world=matrix(actor.pose),
            width=int(actor.number("image_size_x", 800)),
            height=int(actor.number("image_size_y", 600)),
            fov_deg=actor.number("fov", 90.0),
        )

    def _add(self, type_id: str, pose: Pose, attributes: Mapping[str, str] | None = None) -> Actor:
        actor = make_actor(
            self._next_id, LIBRARY[type_id], pose, attributes=attributes, extents=self.extents
        )
        self.actors[actor.id] = actor
        self._next_id += 1
        return actor

    def _check_depth(self, host: Actor) -> None:
        """Raise ActorError where something that is mounted on `host` would be mounted too deep."""
        depth = 1
        while host.parent in self.actors:
            host, depth = self.actors[host.parent], depth + 1
        if depth > MOST_MOUNTED:
            raise ActorError(
                f"expected at most {MOST_MOUNTED} actors mounted on one another, got one more: "
                "mount it on another actor"
            )

    def _touching(self, actor: Actor) -> Iterator[Actor | EnvironmentObject]:
        """Yield what stands in the place of a body; a walker stands between standing things."""
        box = actor.box
        for other in self.actors.values():
            near = abs(other.pose.z - actor.pose.z) < HEADROOM
            if other.moves and other.id != actor.id and near and overlap(box, other.box):
                yield other
        if actor.vehicle is not None and abs(actor.pose.z - self.lane_map.level) < HEADROOM:
            yield from self.obstacles.touched_by(box)

    def _drive(self, actor: Actor, dt: float) -> None:
        vehicle = actor.vehicle
        assert vehicle is not None
        if not vehicle.physics:
            vehicle.stop()
            actor.angular_velocity = ZERO
            return
        pose, yaw_rate = vehicle.advance(actor.pose, dt)
        actor.angular_velocity = (0.0, 0.0, yaw_rate)
        place = None if self.lane_map.flat else self.lane_map.nearest(pose.x, pose.y, pose.yaw)
        ground = self.lane_map.level if place is None else place.z
        actor.pose = pose._replace(
            x=min(max(pose.x, -EDGE_M), EDGE_M),
            y=min(max(pose.y, -EDGE_M), EDGE_M),
            z=ground,
            pitch=0.0 if place is None else place.pitch_deg,
        )

    def _stop(self, actor: Actor, before: Pose, dt: float) -> list[Collision]:
        """Hold a vehicle at what stands in its way; the town's own drivers keep to their lanes."""
        if not actor.collides or actor.id in self.traffic.drivers:
            return []
        hit = self.obstacles.stop(actor, before, dt)
        if hit is None or hit.thing is None:
            return []
        light = self._lights_by_pole.get(hit.thing.id, 0)
        return [replace(hit, other=light, thing=None) if light else hit]

    def _instances(self) -> Iterator[Instance]:
        for actor in self.actors.values():
            model = actor.blueprint.model
            if not model:
                continue
            vehicle, walker, light = actor.vehicle, actor.walker, actor.light
            yield Instance(
                actor_id=actor.id,
                model=model,
                model_to_world=matrix(actor.feet),
                paint=actor.paint,
                wheel_spin=vehicle.spin if vehicle else 0.0,
                wheel_steer=vehicle.wheel_angle if vehicle else 0.0,
                stride=walker.stride if walker else 0.0,
                lit=vehicle.lit() if vehicle else light.lit() if light else frozenset(),
            )
