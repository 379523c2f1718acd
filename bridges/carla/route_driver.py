"""Drives a vehicle along a way: pure pursuit, and speed by the curves, lights and traffic ahead.

Steering is Coulter's pure pursuit (CMU-RI-TR-92-01, 1992): the arc through the point of the way at
the look-ahead distance L and the angle a has the curvature 2 sin(a) / L. Speed follows the limit,
the lateral acceleration in the curves ahead, red lights, and the braking distance to what stands or
drives on the way.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realmaster_live.bridges.carla.bridge import CarlaBridge
from realmaster_live.bridges.carla.route_plan import STEP_M, places_of, plan_way
from realmaster_live.errors import BridgeError
from realmaster_live.frames.chunk import Frame
from realmaster_live.frames.route import Route

log = logging.getLogger(__name__)

SEARCH = 15  # points of the way that a vehicle may pass in one tick
AHEAD_M = 40.0  # how far ahead curves and traffic count
LOOK_S, LOOK_LEAST_M = 0.7, 4.0  # of pure pursuit
SIDEWAYS = 2.0  # m/s^2 in curves
BRAKING = 3.0  # m/s^2
GAP_M = 3.0  # to what stands in front
BESIDE_M = 0.4  # beside the vehicle
CREEP = 2.0  # m/s, the least in a curve
USUAL_LIMIT = 8.3  # m/s, where the vehicle knows none
ARRIVED_M = 3.0
STUCK_S = 120.0
WHEELBASE_SHARE = 0.6  # of a vehicle's length
USUAL_STEER_DEG = 70.0


class RouteDriver:
    """Controls one vehicle tick by tick; nobody else may drive it.

    Args:
        bridge: whose ego drives. route: where to.

    Raises:
        ConfigError: the route is not on the map's roads.
        BridgeError: the cameras are not on a vehicle.
    """

    def __init__(self, bridge: CarlaBridge, route: Route) -> None:
        ego = bridge.ego
        if ego is None or not ego.type_id.startswith("vehicle."):
            raise BridgeError(
                f"expected a vehicle to drive the route {route.name}, got "
                f"{'a camera without one' if ego is None else ego.type_id}: give one with --ego"
            )
        carla, world = bridge.session.carla, bridge.session.world
        self._carla, self._world, self._ego = carla, world, ego
        carla_map = world.get_map()
        start = ego.get_transform().location
        self.way = plan_way(carla, carla_map, start, places_of(route, carla_map))
        self._name = route.name
        self._at = 0  # the point of the way that the vehicle is at
        self._moved_s: float | None = None
        self._curves = _curve_speeds(self.way)
        self._half = ego.bounding_box.extent.x, ego.bounding_box.extent.y
        wheels = ego.get_physics_control().wheels
        steer_deg = max((wheel.max_steer_angle for wheel in wheels), default=0.0)
        self._steer = math.radians(steer_deg or USUAL_STEER_DEG)
        # the command in a batch reaches the server alone: the actor's own method would start a
        # Traffic Manager in this process
        bridge.session.client.apply_batch([carla.command.SetAutopilot(ego.id, False)])

    @property
    def is_done(self) -> bool:
        """Whether the vehicle has arrived."""
        x, y = self._place()[:2]
        last = math.dist((x, y), self.way[-1]) < ARRIVED_M
        return self._at >= len(self.way) - 1 or (last and self._at > len(self.way) - SEARCH)

    def step(self, now_s: float) -> None:
        """Set the controls for the next tick, of the present one's clock in seconds.

        Raises:
            BridgeError: the vehicle has not moved for two minutes.
        """
        x, y, yaw = self._place()
        speed = self._ego.get_velocity().length()
        if speed > 0.3 or self._moved_s is None or now_s < self._moved_s:
            self._moved_s = now_s
        if now_s - self._moved_s > STUCK_S:
            raise BridgeError(
                f"expected the vehicle to go on along the route {self._name}, got no movement for "
                f"{STUCK_S:.0f} s at {x:.0f},{y:.0f}: clear its way, or record without --route"
            )
        self._advance(x, y)
        look = max(LOOK_LEAST_M, LOOK_S * speed)
        target = self.way[min(self._at + math.ceil(look / STEP_M), len(self.way) - 1)]
        aside = math.atan2(target[1] - y, target[0] - x) - yaw
        reach = max(1.0, math.dist(target, (x, y)))
        wheel = math.atan(2 * WHEELBASE_SHARE * 2 * self._half[0] * math.sin(aside) / reach)
        wanted = min(self._speed_limit(), self._speed_in_traffic(x, y))
        error = wanted - speed
        control = self._carla.VehicleControl(
            throttle=float(np.clip(0.25 + 0.4 * error, 0.0, 0.8)) if error > -0.2 else 0.0,
            brake=float(np.clip(-0.35 * error, 0.0, 1.0)) if error < -0.5 else 0.0,
            steer=float(np.clip(wheel / self._steer, -1.0, 1.0)),
        )
        if wanted < 0.1 and speed < 1.0:
            control.throttle, control.brake = 0.0, 1.0
        self._ego.apply_control(control)

    def stop(self) -> None:
        """Let the vehicle stand still with its brake on."""
        try:
            self._ego.apply_control(self._carla.VehicleControl(brake=1.0, hand_brake=True))
        except RuntimeError as error:  # it is gone, or the server is
            log.debug("not stopped: %s", error)

    def _place(self) -> tuple[float, float, float]:
        pose = self._ego.get_transform()
        return pose.location.x, pose.location.y, math.radians(pose.rotation.yaw)

    def _advance(self, x: float, y: float) -> None:
        near = self.way[self._at : self._at + SEARCH]
        self._at += int(np.argmin(np.hypot(near[:, 0] - x, near[:, 1] - y)))

    def _speed_limit(self) -> float:
        """Return m/s: the road's limit, and what the curves ahead allow."""
        limit = self._ego.get_speed_limit() / 3.6 or USUAL_LIMIT
        if self._ego.is_at_traffic_light():
            shown = self._ego.get_traffic_light_state()
            if shown in (self._carla.TrafficLightState.Red, self._carla.TrafficLightState.Yellow):
                return 0.0
        ahead = self._curves[self._at : self._at + math.ceil(AHEAD_M / STEP_M)]
        way_m = STEP_M * np.arange(len(ahead))
        return float(min(limit, np.sqrt(ahead**2 + 2 * BRAKING * way_m).min(initial=limit)))

    def _speed_in_traffic(self, x: float, y: float) -> float:
        """Return m/s at which it can still brake for everybody on the way ahead."""
        ahead = self.way[self._at + 1 : self._at + 1 + math.ceil(AHEAD_M / STEP_M)]
        lowest = math.inf
        actors = self._world.get_actors()
        for actor in (*actors.filter("vehicle.*"), *actors.filter("walker.pedestrian.*")):
            if actor.id == self._ego.id or not len(ahead):
                continue
            place = actor.get_location()
            if math.hypot(place.x - x, place.y - y) > AHEAD_M:
                continue
            extent = actor.bounding_box.extent
            size = max(extent.x, extent.y)
            away = np.hypot(ahead[:, 0] - place.x, ahead[:, 1] - place.y)
            on_way = np.flatnonzero(away < self._half[1] + min(extent.x, extent.y) + BESIDE_M)
            if not len(on_way):
                continue
            first = int(on_way[0])
            heading = ahead[min(first + 1, len(ahead) - 1)] - ahead[max(first - 1, 0)]
            length = float(np.hypot(*heading)) or 1.0
            velocity = actor.get_velocity()
            along = (velocity.x * heading[0] + velocity.y * heading[1]) / length
            gap = STEP_M * (first + 1) - self._half[0] - size - GAP_M
            allowed = math.sqrt(max(0.0, along) ** 2 + 2 * BRAKING * max(0.0, gap))
            lowest = min(lowest, 0.0 if gap <= 0 and along < 0.5 else allowed)
        return lowest


class RouteSource:
    """The frames of a bridge while its ego drives a route; they end where it does.

    Args:
        bridge: it belongs to the caller. route: where to drive.

    Raises:
        ConfigError: the route is not on the map's roads.
        BridgeError: the cameras are not on a vehicle.
    """

    def __init__(self, bridge: CarlaBridge, route: Route) -> None:
        self._bridge = bridge
        self._driver = RouteDriver(bridge, route)

    def __getattr__(self, name: str) -> Any:
        """Return what sinks ask the bridge itself for, such as `info` or its roads."""
        return getattr(self._bridge, name)

    @property
    def length_m(self) -> float:
        """Length of the whole way."""
        steps = np.diff(self._driver.way, axis=0)
        return float(np.hypot(steps[:, 0], steps[:, 1]).sum())

    def frames(self) -> Iterator[Frame]:
        """Yield the bridge's frames until the vehicle has arrived.

        Raises:
            BridgeError: the vehicle is stuck or gone, besides what the bridge raises.
        """
        ego, last = self._bridge.ego, -1
        try:
            for frame in self._bridge.frames():
                if frame.frame_id != last:  # the first camera of a tick
                    last = frame.frame_id
                    now = self._bridge.ego
                    if now is None or ego is None or now.id != ego.id:
                        raise BridgeError(
                            "expected the vehicle that drives the route, got another world or "
                            "vehicle: record the rest as a drive of its own"
                        )
                    if self._driver.is_done:
                        return
                    self._driver.step(frame.timestamp)
                yield frame
        finally:
            self._driver.stop()

    def close(self) -> None:
        """Close the bridge."""
        self._bridge.close()


def _curve_speeds(way: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (N,) m/s at each point of a way, by the turn of the 6 metres around it."""
    reach = 3
    speeds = np.full(len(way), np.inf)
    if len(way) <= 2 * reach:
        return speeds
    before = way[reach:-reach] - way[: -2 * reach]
    after = way[2 * reach :] - way[reach:-reach]
    turn = np.arctan2(after[:, 1], after[:, 0]) - np.arctan2(before[:, 1], before[:, 0])
    turn = np.abs((turn + np.pi) % (2 * np.pi) - np.pi)
    length = np.maximum(1.0, np.hypot(after[:, 0], after[:, 1]))
    with np.errstate(divide="ignore"):
        speeds[reach:-reach] = np.maximum(CREEP, np.sqrt(SIDEWAYS * length / turn))
    return speeds
