"""The kinds of vehicles and walkers in the town, and the physics of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from realmaster_live.minitown.transforms import Vector

CAR, TRUCK, BUS, MOTORCYCLE, BICYCLE, PEDESTRIAN = 14, 15, 16, 18, 19, 12  # CARLA's classes
TRAFFIC_LIGHT = 7


@dataclass(frozen=True, kw_only=True)
class Body:
    """A model's physics.

    Attributes:
        extent: half size (x, y, z) of what others hit, metres. wheelbase, wheel_radius: metres.
        full_extent: half size of what is seen, as CARLA's bounding box has it: with mirrors, but
            without a rider.
        mass: kilograms. max_accel: full throttle from standstill, m/s^2. top_speed: m/s.
        semantic: CARLA's class number.
    """

    extent: Vector
    full_extent: Vector
    semantic: int
    wheelbase: float = 2.7
    wheel_radius: float = 0.33
    wheels: int = 4
    mass: float = 1500.0
    max_accel: float = 4.0
    top_speed: float = 50.0


BODIES: Mapping[str, Body] = {
    "sedan": Body(
        extent=(2.35, 0.93, 0.73),
        full_extent=(2.35, 1.09, 0.73),
        semantic=CAR,
        wheelbase=2.8,
        mass=1650.0,
    ),
    "hatchback": Body(
        extent=(1.98, 0.88, 0.75),
        full_extent=(1.98, 1.04, 0.75),
        semantic=CAR,
        wheelbase=2.5,
        mass=1250.0,
    ),
    "suv": Body(
        extent=(2.35, 0.98, 0.88),
        full_extent=(2.35, 1.14, 0.88),
        semantic=CAR,
        wheelbase=2.75,
        mass=2000.0,
    ),
    "van": Body(
        extent=(2.75, 1.0, 1.2),
        full_extent=(2.75, 1.16, 1.2),
        semantic=CAR,
        wheelbase=3.3,
        mass=2400.0,
        max_accel=3.0,
    ),
    "pickup": Body(
        extent=(2.75, 1.0, 0.93),
        full_extent=(2.75, 1.16, 0.93),
        semantic=CAR,
        wheelbase=3.3,
        mass=2300.0,
    ),
    "truck": Body(
        extent=(3.6, 1.2, 1.55),
        full_extent=(3.6, 1.35, 1.55),
        semantic=TRUCK,
        wheelbase=4.2,
        wheel_radius=0.46,
        mass=8000.0,
        max_accel=2.0,
        top_speed=28.0,
    ),
    "bus": Body(
        extent=(5.2, 1.25, 1.55),
        full_extent=(5.2, 1.4, 1.55),
        semantic=BUS,
        wheelbase=5.6,
        wheel_radius=0.48,
        mass=11000.0,
        max_accel=1.8,
        top_speed=25.0,
    ),
    "motorcycle": Body(
        extent=(1.1, 0.4, 0.78),
        full_extent=(1.06, 0.39, 0.52),
        semantic=MOTORCYCLE,
        wheelbase=1.45,
        wheel_radius=0.31,
        wheels=2,
        mass=280.0,
        max_accel=5.0,
    ),
    "bicycle": Body(
        extent=(0.9, 0.3, 0.85),
        full_extent=(0.87, 0.3, 0.5),
        semantic=BICYCLE,
        wheelbase=1.05,
        wheel_radius=0.34,
        wheels=2,
        mass=90.0,
        max_accel=1.6,
        top_speed=8.0,
    ),
}
STATIC = 20  # CARLA's class of static objects
PROP_EXTENTS: Mapping[str, Vector] = {  # half sizes of the box that stands for a prop, metres
    "tiny": (0.12, 0.12, 0.1),
    "small": (0.22, 0.22, 0.35),
    "medium": (0.5, 0.4, 0.5),
    "big": (1.0, 0.6, 1.0),
    "huge": (1.8, 1.5, 1.5),
}


def prop_model(size: str) -> str:
    """Return the name of the model of props of a size."""
    return f"prop_{size}"


WALKER_EXTENT = (0.25, 0.25, 0.93)
WALKER_CENTRE = 0.93  # a walker's actor stands at the middle of its body, metres above its feet
