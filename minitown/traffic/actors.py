"""Actors: everything that has an id, a blueprint and a place in the world."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from realmaster_live.errors import ActorError
from realmaster_live.minitown.models.bodies import (
    BODIES,
    PEDESTRIAN,
    PROP_EXTENTS,
    STATIC,
    TRAFFIC_LIGHT,
    WALKER_CENTRE,
    WALKER_EXTENT,
)
from realmaster_live.minitown.plan.boxes import Box, box_of
from realmaster_live.minitown.traffic.blueprint_attributes import BOOL, COLOR, FLOAT, INT, Blueprint
from realmaster_live.minitown.traffic.blueprint_ids import PROPS
from realmaster_live.minitown.traffic.blueprints import LIGHT
from realmaster_live.minitown.traffic.sensor_blueprints import LANE_INVASION
from realmaster_live.minitown.traffic.signals import TrafficLight
from realmaster_live.minitown.traffic.vehicle import Vehicle
from realmaster_live.minitown.traffic.walker import Walker
from realmaster_live.minitown.transforms import ZERO, Pose, Vector

LIGHT_EXTENT = (0.3, 0.3, 2.2)

LARGEST = 1e8  # a lidar has millions of points a second
LONGEST = 1024  # characters of a value
MOST_UNKNOWN = 64  # attributes that this library lacks: another release's log has some


def checked(blueprint: Blueprint, given: Mapping[str, str]) -> dict[str, str]:
    """Return the values of all attributes of an actor: the given ones, else the defaults.

    Raises:
        ActorError: a value is not of its attribute's kind, or is out of range.
    """
    kinds = {attribute.id: attribute.kind for attribute in blueprint.attributes}
    if len(given.keys() - kinds.keys()) > MOST_UNKNOWN:
        raise ActorError(
            f"expected attributes of {blueprint.id}, got {len(given)} others: set only its own"
        )
    for name, text in given.items():
        if len(text) > LONGEST or len(name) > LONGEST or not _fits(kinds.get(name, ""), text):
            number = f"a number within -{LARGEST:g}..{LARGEST:g}"
            kind = {INT: number, FLOAT: number, BOOL: "a bool", COLOR: "a colour r,g,b"}
            raise ActorError(
                f"expected {kind.get(kinds.get(name, ''), f'at most {LONGEST} characters')} for "
                f"{name[:40]} of {blueprint.id}, got {text[:40]!r}: set another value"
            )
    return {attribute.id: attribute.value for attribute in blueprint.attributes} | dict(given)


def _fits(kind: str, text: str) -> bool:
    if kind in (INT, FLOAT):
        return _number(text)
    if kind == BOOL:
        return text.lower() in ("true", "false", "0", "1", "")
    if kind == COLOR:
        parts = text.split(",")
        return len(parts) == 3 and all(_number(part) for part in parts)
    return True


def _number(text: str) -> bool:
    try:
        value = float(text)
    except ValueError:
        return False
    return math.isfinite(value) and abs(value) <= LARGEST


@dataclass(slots=True)
class Actor:
    """One actor; `relative` is its pose in its parent's axes, `pose` its pose in the world.

    Attributes:
        velocity: m/s. acceleration: m/s^2. angular_velocity: degrees a second.
        vehicle, walker, light: what makes it move or switch; at most one is set.
    """

    id: int
    blueprint: Blueprint
    attributes: dict[str, str]
    pose: Pose
    parent: int = 0
    attachment: int = 0
    relative: Pose = field(default_factory=Pose)
    velocity: Vector = ZERO
    acceleration: Vector = ZERO
    angular_velocity: Vector = ZERO
    extent: Vector = ZERO
    vehicle: Vehicle | None = None
    walker: Walker | None = None
    light: TrafficLight | None = None
    collides: bool = True

    @property
    def type_id(self) -> str:
        """CARLA's blueprint id."""
        return self.blueprint.id

    @property
    def semantic(self) -> int:
        """CARLA's class number, 0 for what is never seen."""
        if self.vehicle is not None:
            return self.vehicle.body.semantic
        if self.walker is not None:
            return PEDESTRIAN
        if self.is_prop:
            return STATIC
        return TRAFFIC_LIGHT if self.light is not None else 0

    @property
    def streams(self) -> bool:
        """Whether the server sends this actor's data: every sensor but the client-side one."""
        return self.type_id.startswith("sensor.") and self.type_id != LANE_INVASION

    def vehicle_wheels(self) -> int:
        """Return the number of wheels, 0 for what is no vehicle."""
        return self.vehicle.body.wheels if self.vehicle is not None else 0

    @property
    def moves(self) -> bool:
        """Whether the actor is a body that others can hit."""
        return self.vehicle is not None or self.walker is not None or self.is_prop

    @property
    def is_prop(self) -> bool:
        """Whether the actor is a prop, which stays where a client put it."""
        return self.blueprint.id in PROPS

    @property
    def box(self) -> Box:
        """The ground it covers."""
        return box_of(self.pose, self.extent)

    @property
    def full_extent(self) -> Vector:
        """Half size of CARLA's bounding box, metres."""
        return self.vehicle.body.full_extent if self.vehicle is not None else self.extent

    @property
    def box_centre(self) -> Vector:
        """Middle of CARLA's bounding box in the actor's own axes, metres."""
        return (0.0, 0.0, 0.0 if self.walker is not None else self.full_extent[2])

    @property
    def paint(self) -> tuple[float, float, float]:
        """The paint colour, sRGB 0..1."""
        parts = self.attributes.get("color", "150,150,150").split(",")
        try:
            red, green, blue = (min(255, max(0, int(part))) / 255.0 for part in parts)
        except ValueError:
            return (0.6, 0.6, 0.6)
        return red, green, blue

    @property
    def feet(self) -> Pose:
        """The pose of the drawn model, whose origin is on the ground."""
        return self.pose._replace(z=self.pose.z - WALKER_CENTRE) if self.walker else self.pose

    def number(self, attribute: str, default: float) -> float:
        """Return an attribute as a number; raise ActorError when it is not one."""
        text = self.attributes.get(attribute, "")
        try:
            return float(text) if text else default
        except ValueError as error:
            raise ActorError(
                f"expected a number for {attribute} of {self.type_id}, got {text!r}: set another"
            ) from error


def make_actor(
    actor_id: int,
    blueprint: Blueprint,
    pose: Pose,
    *,
    attributes: Mapping[str, str] | None = None,
    extents: Mapping[str, Vector] | None = None,
) -> Actor:
    """Return a new actor of `blueprint`; `extents` overrides the half size by model name.

    Raises:
        ActorError: an attribute's value is not of its kind, or is out of range.
    """
    values = checked(blueprint, attributes or {})
    actor = Actor(id=actor_id, blueprint=blueprint, attributes=values, pose=pose, relative=pose)
    if blueprint.model in BODIES:
        sticky = values["sticky_control"].lower() in ("true", "1")
        actor.vehicle = Vehicle(BODIES[blueprint.model], sticky=sticky)
        actor.extent = BODIES[blueprint.model].extent
    elif blueprint.id.startswith("walker."):
        actor.walker = Walker()
        actor.extent = WALKER_EXTENT
    elif blueprint.id in PROPS:
        actor.extent = PROP_EXTENTS[PROPS[blueprint.id]]
    elif blueprint.id == LIGHT:
        actor.extent = LIGHT_EXTENT
    if extents and blueprint.model in extents:
        actor.extent = extents[blueprint.model]
    return actor
