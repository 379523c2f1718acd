"""Drives through the town: planned from a seed and a number, simulated the same every time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from realmaster_live.minitown.plan.network import make_network
from realmaster_live.minitown.scene import CameraView, SceneState, Weather
from realmaster_live.minitown.traffic.population import MANY_TWO_WHEELERS, MODEL_SHARES, populate
from realmaster_live.minitown.traffic.world import World
from realmaster_live.minitown.transforms import Pose
from realmaster_live.minitown.truth.prompts import AS_SIMULATED

Moment: TypeAlias = tuple[SceneState, CameraView]

WARM_UP_S = (4.0, 14.0)  # a drive starts after the traffic has spread out
VEHICLES, WALKERS = 34, 40


@dataclass(frozen=True, kw_only=True)
class Drive:
    """One clip to be made; everything about it follows from `seed`, `number` and `prompt`."""

    seed: int
    number: int
    prompt: str
    weather: Weather
    spawn_index: int
    warm_up_s: float
    mount: Pose
    fov_deg: float
    two_wheelers: bool = False  # two of five vehicles of the traffic

    @property
    def name(self) -> str:
        """The clip's file name without an ending."""
        name = f"town{self.seed:04d}-{self.number}"
        return name if self.prompt == AS_SIMULATED else f"{name}-{self.prompt}"


def plan_drive(seed: int, number: int, prompt: str = AS_SIMULATED) -> Drive:
    """Draw a drive: a daytime weather, a place, a camera a little different from the last one.

    The prompt changes nothing but the truth.
    """
    rng = np.random.default_rng((seed, number, 77))
    return Drive(
        seed=seed,
        number=number,
        prompt=prompt,
        weather=draw_weather(rng),
        spawn_index=int(rng.integers(1000)),
        warm_up_s=float(rng.uniform(*WARM_UP_S)),
        mount=Pose(x=1.5, z=float(rng.uniform(1.45, 2.0)), pitch=float(rng.uniform(-4.0, 1.0))),
        fov_deg=float(rng.uniform(70.0, 90.0)),
    )


def draw_weather(rng: np.random.Generator) -> Weather:
    """Draw a daytime weather: clear, partly cloudy, overcast, low sun, or wet."""
    kind = rng.choice(
        ["clear", "cloudy", "overcast", "low sun", "wet"], p=[0.3, 0.2, 0.2, 0.15, 0.15]
    )
    clouds = {"clear": (0, 20), "cloudy": (25, 60), "overcast": (75, 100), "low sun": (0, 40)}
    altitude = (7.0, 18.0) if kind == "low sun" else (25.0, 70.0)
    wet = kind == "wet"
    return Weather(
        cloudiness=float(rng.uniform(*clouds.get(str(kind), (50, 95)))),
        precipitation_deposits=float(rng.uniform(30, 80)) if wet else 0.0,
        wetness=float(rng.uniform(40, 90)) if wet else 0.0,
        sun_azimuth_angle=float(rng.uniform(0.0, 360.0) + 180.0) % 360.0,
        sun_altitude_angle=float(rng.uniform(*altitude)),
    )


def drive(
    drive_plan: Drive, *, frames: int, width: int, height: int, dt: float
) -> Iterator[Moment]:
    """Yield what a front camera sees on `frames` ticks of `dt` seconds; the ego drives itself."""
    world = World(make_network(drive_plan.seed), seed=drive_plan.number)
    world.weather = drive_plan.weather
    ego = world.spawn_ego(drive_plan.spawn_index)
    shares = MANY_TWO_WHEELERS if drive_plan.two_wheelers else MODEL_SHARES
    populate(world, VEHICLES, WALKERS, drive_plan.number, shares)
    size = {"image_size_x": str(width), "image_size_y": str(height), "fov": str(drive_plan.fov_deg)}
    camera = world.spawn("sensor.camera.rgb", drive_plan.mount, attributes=size, parent=ego.id)
    for _ in range(round(drive_plan.warm_up_s / dt)):
        world.step(dt)
    for _ in range(frames):
        world.step(dt)
        yield world.scene_state(), world.camera_view(camera.id)
