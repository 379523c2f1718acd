"""How a vehicle answers its pedals and wheel: a kinematic bicycle on the ground."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import NamedTuple

from realmaster_live.minitown.models.bodies import Body
from realmaster_live.minitown.transforms import ZERO, Pose, Vector, forward, wrap_deg

MAX_STEER_DEG = 40.0
STEER_RATE = 4.0  # full locks a second that the front wheels follow
BRAKE_DECEL = 8.0  # m/s^2 of a full brake on dry road
HAND_BRAKE_DECEL = 5.0
ROLLING_DECEL = 0.25  # m/s^2 lost without throttle, engine brake included
REVERSE_TOP_SPEED = 8.0
MAX_SPEED = 150.0  # m/s, whatever pushes the vehicle

POSITION, LOW_BEAM, HIGH_BEAM, BRAKE_LIGHT = 0x1, 0x2, 0x4, 0x8  # CARLA's vehicle light flags


class VehicleControl(NamedTuple):
    """CARLA's vehicle control, in the order of its wire layout."""

    throttle: float = 0.0
    steer: float = 0.0
    brake: float = 0.0
    hand_brake: bool = False
    reverse: bool = False
    manual_gear_shift: bool = False
    gear: int = 0


@dataclass(slots=True)
class Vehicle:
    """The moving part of a vehicle actor.

    Attributes:
        speed: m/s along its own x, negative backwards. steer: of the front wheels, -1..1.
        spin: radians that the wheels have turned. lights: CARLA's light flags.
        constant_velocity: m/s in the vehicle's own axes, overrides the pedals; None when off.
        autopilot: the town's own driver holds the wheel.
        sticky: a control holds until the next one; otherwise for one tick.
    """

    body: Body
    control: VehicleControl = field(default_factory=VehicleControl)
    speed: float = 0.0
    steer: float = 0.0
    spin: float = 0.0
    lights: int = 0
    autopilot: bool = False
    physics: bool = True
    constant_velocity: Vector | None = None
    sticky: bool = True

    def advance(self, pose: Pose, dt: float) -> tuple[Pose, float]:
        """Return the pose after `dt` seconds and the yaw rate in degrees a second."""
        self.steer += _limited(_unit(self.control.steer) - self.steer, STEER_RATE * dt)
        if self.constant_velocity is not None:
            self.speed = self.constant_velocity[0]
        else:
            self.speed = self._next_speed(dt)
        self.speed = _limited(self.speed, MAX_SPEED)
        self.spin = math.fmod(self.spin + self.speed * dt / self.body.wheel_radius, 2 * math.pi)
        turn = math.tan(self.wheel_angle)
        slip = math.atan(0.5 * turn)  # the origin is midway between the axles
        yaw_rate = self.speed / self.body.wheelbase * math.cos(slip) * turn
        heading = math.radians(pose.yaw) + slip + 0.5 * yaw_rate * dt
        return (
            pose._replace(
                x=pose.x + self.speed * math.cos(heading) * dt,
                y=pose.y + self.speed * math.sin(heading) * dt,
                yaw=wrap_deg(pose.yaw + math.degrees(yaw_rate * dt)),
            ),
            math.degrees(yaw_rate),
        )

    @property
    def full_lock(self) -> float:
        """Radians of the front wheels at full steer: less at speed."""
        return math.radians(MAX_STEER_DEG / (1.0 + abs(self.speed) / 40.0))

    @property
    def wheel_angle(self) -> float:
        """Radians of the front wheels, positive to the right."""
        return self.full_lock * self.steer

    def stop(self) -> None:
        """Take all speed away, as a collision does."""
        self.speed = 0.0

    def push(self, pose: Pose, velocity: Vector) -> None:
        """Set the speed to the part of the world `velocity`, m/s, that lies along the vehicle."""
        fx, fy = forward(pose.yaw)
        self.speed = velocity[0] * fx + velocity[1] * fy

    def lit(self) -> frozenset[str]:
        """Return the model parts that glow now."""
        parts = set()
        if self.control.brake > 0.05 or self.lights & BRAKE_LIGHT:
            parts.add("brake_light")
        if self.lights & (LOW_BEAM | HIGH_BEAM):
            parts.add("head_light")
        return frozenset(parts)

    def _next_speed(self, dt: float) -> float:
        control, body = self.control, self.body
        top = REVERSE_TOP_SPEED if control.reverse else body.top_speed
        pull = body.max_accel * _share(control.throttle) * max(0.0, 1.0 - abs(self.speed) / top)
        speed = self.speed + (-pull if control.reverse else pull) * dt
        drag = ROLLING_DECEL * (1.0 - _share(control.throttle))
        drag += BRAKE_DECEL * _share(control.brake) + HAND_BRAKE_DECEL * control.hand_brake
        return math.copysign(max(0.0, abs(speed) - drag * dt), speed)


def velocity_of(before: Pose, after: Pose, dt: float) -> Vector:
    """Return m/s between two poses, zero for no time."""
    if dt <= 0.0:
        return ZERO
    return ((after.x - before.x) / dt, (after.y - before.y) / dt, (after.z - before.z) / dt)


def change(before: Vector, after: Vector, dt: float) -> Vector:
    """Return how fast a velocity changed, m/s^2."""
    x, y, z = ((new - old) / dt for new, old in zip(after, before, strict=True))
    return x, y, z


def _limited(value: float, most: float) -> float:
    return max(-most, min(most, value))


def _unit(value: float) -> float:
    return max(-1.0, min(1.0, value))


def _share(value: float) -> float:
    return max(0.0, min(1.0, value))
