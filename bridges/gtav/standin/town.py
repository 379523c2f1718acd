"""The embedded town in the game's place: driven, drawn, and reported as DeepGTAV reports."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from realmaster_live.bridges.carla.geometry import cam_to_world
from realmaster_live.bridges.gtav.camera import VFOV_DEG
from realmaster_live.bridges.gtav.protocol.messages import (
    Commands,
    Config,
    Message,
    Scenario,
    SetCameraPositionAndRotation,
    SetClockTime,
    SetWeather,
    Start,
)
from realmaster_live.bridges.gtav.standin.stage import Scene, Size
from realmaster_live.frames.geometry import field_of_view_deg, focal_length
from realmaster_live.minitown.models.town import build_town
from realmaster_live.minitown.plan.network import make_network
from realmaster_live.minitown.raster.rasteriser import Rasteriser
from realmaster_live.minitown.scene import Weather
from realmaster_live.minitown.traffic.population import populate
from realmaster_live.minitown.traffic.vehicle import VehicleControl
from realmaster_live.minitown.traffic.world import World
from realmaster_live.minitown.transforms import Pose
from realmaster_live.minitown.truth.prompts import weather_for

VEHICLES, WALKERS = 40, 40
MOUNT = Pose(x=1.5, z=1.6)  # of the camera on the ego; the game's own is as near to the wheel
WARM_UP_STEPS, WARM_UP_DT_S = 80, 0.1  # until the traffic has spread out
NOON_ALTITUDE_DEG = 60.0
CAR, PED, REACH_M = 0, 10, 150.0  # classes of DeepGTAV, and how far it reports objects
LONGEST_STEP_S = 0.5  # of the town's physics, however seldom a client wants a frame
# prompts that look like the game's weathers; NEUTRAL leaves the weather as it is
LOOKS = {
    "CLEAR": "clear", "EXTRASUNNY": "clear", "CLOUDS": "overcast", "OVERCAST": "overcast",
    "RAIN": "rain", "CLEARING": "rain", "THUNDER": "rain", "SMOG": "fog", "FOGGY": "fog",
    "XMAS": "snow", "SNOWLIGHT": "snow", "BLIZZARD": "snow", "SNOW": "snow",
}  # fmt: skip


class TownStage:
    """A town with traffic; drives itself where a scenario has a driving mode, else by Commands."""

    def __init__(self, seed: int, *, vfov_deg: float = VFOV_DEG) -> None:
        network = make_network(seed)
        self._world = World(network, seed=seed)
        self._rasteriser = Rasteriser(build_town(network))
        self._vfov_deg = vfov_deg
        self._ego = self._world.spawn_ego(seed)
        populate(self._world, VEHICLES, WALKERS, seed)
        self._camera = self._world.spawn("sensor.camera.rgb", MOUNT, parent=self._ego.id)
        self._second = 12 * 3600.0  # of the game's day
        for _ in range(WARM_UP_STEPS):
            self._world.step(WARM_UP_DT_S)
        self.step((64, 36), WARM_UP_DT_S)  # compiles what draws, before a client waits for it

    def apply(self, message: Message) -> None:
        """Set weather, clock, camera and wheel."""
        match message:
            case Start(scenario=scenario):
                self._world.set_autopilot(self._ego.id, scenario.driving_mode is not None)
                self._set(scenario)
            case Config(scenario=scenario):
                if scenario.driving_mode is not None:
                    self._world.set_autopilot(self._ego.id, True)
                self._set(scenario)
            case Commands():
                self._steer(message)
            case SetWeather(weather=name):
                self._set(Scenario(weather=name))
            case SetClockTime():
                self._set_clock(message.hour, message.minute, message.second)
            case SetCameraPositionAndRotation():
                self._camera.relative = Pose(
                    x=MOUNT.x + message.y,
                    y=message.x,
                    z=MOUNT.z + message.z,
                    pitch=message.rot_x,
                    yaw=-message.rot_z,
                    roll=message.rot_y,
                )

    def step(self, size: Size, dt_s: float) -> Scene:
        """Drive on and draw."""
        steps = max(1, math.ceil(dt_s / LONGEST_STEP_S))
        for _ in range(steps):
            self._world.step(dt_s / steps)
        self._second += dt_s
        width, height = size
        focal = focal_length(height, self._vfov_deg)
        view = replace(
            self._world.camera_view(self._camera.id),
            width=width,
            height=height,
            fov_deg=field_of_view_deg(width, focal),
        )
        drawn = self._rasteriser.render(self._world.scene_state(), view)
        return Scene(
            image=drawn.rgb,
            cam_to_world=cam_to_world(view.cam_to_world),
            focal_px=focal,
            depth=drawn.depth,
            semantic=drawn.semantic,
            reported=self._report(),
        )

    def close(self) -> None:
        """Nothing to release."""

    def _set(self, scenario: Scenario) -> None:
        if scenario.weather in LOOKS:
            calm = Weather(sun_altitude_angle=self._world.weather.sun_altitude_angle)
            self._world.weather = weather_for(LOOKS[scenario.weather], calm)
        if scenario.time is not None:
            self._set_clock(*scenario.time, 0)

    def _set_clock(self, hour: int, minute: int, second: int) -> None:
        self._second = 3600.0 * (hour % 24) + 60.0 * minute + second
        altitude = NOON_ALTITUDE_DEG * math.sin(math.pi * (self._second / 43200.0 - 0.5))
        self._world.weather = replace(self._world.weather, sun_altitude_angle=altitude)

    def _steer(self, commands: Commands) -> None:
        vehicle = self._ego.vehicle
        assert vehicle is not None
        if not vehicle.autopilot:
            vehicle.control = VehicleControl(
                throttle=commands.throttle, steer=commands.steering, brake=commands.brake
            )

    def _report(self) -> dict[str, Any]:
        ego, vehicle = self._ego, self._ego.vehicle
        assert vehicle is not None
        minute, second = divmod(int(self._second), 60)
        near: dict[int, list[dict[str, Any]]] = {CAR: [], PED: []}
        for actor in self._world.actors.values():
            if actor.moves and actor is not ego:
                kind = PED if actor.vehicle is None else CAR
                found = _reported(actor, ego, kind)
                if found is not None:
                    near[kind].append(found)
        return {
            "speed": vehicle.speed,
            "yawRate": -ego.angular_velocity[2],
            "throttle": vehicle.control.throttle,
            "brake": vehicle.control.brake,
            "steering": vehicle.steer,
            "location": [ego.pose.x, -ego.pose.y, ego.pose.z],
            "time": [minute // 60 % 24, minute % 60, second],
            "vehicles": near[CAR],
            "peds": near[PED],
        }


def _reported(actor: Any, ego: Any, kind: int) -> dict[str, Any] | None:
    """Return a vehicle or pedestrian as DeepGTAV reports it; None where too far or behind."""
    at = np.array([actor.pose.x - ego.pose.x, ego.pose.y - actor.pose.y, actor.pose.z - ego.pose.z])
    yaw, own = -math.radians(actor.pose.yaw), -math.radians(ego.pose.yaw)
    if np.linalg.norm(at) > REACH_M or at[0] * math.cos(own) + at[1] * math.sin(own) < 0:
        return None
    forward = np.array([math.cos(yaw), math.sin(yaw), 0.0])
    right, up = np.array([forward[1], -forward[0], 0.0]), np.array([0.0, 0.0, 1.0])
    half = actor.extent[0] * forward + actor.extent[1] * right + actor.extent[2] * up
    return {
        "FUR": (at + half).tolist(),
        "BLL": (at - half).tolist(),
        "speed": float(np.linalg.norm(actor.velocity)),
        "heading": math.degrees(yaw) - 90.0,
        "classID": kind,
    }
