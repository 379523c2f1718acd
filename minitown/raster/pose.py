"""Where each part of a model stands: wheels that roll and steer, legs and arms that swing."""

from __future__ import annotations

from math import cos, sin

import numpy as np
from numpy.typing import NDArray

from realmaster_live.minitown.scene import Instance, Model

STEERED = ("wheel_fl", "wheel_fr")
SWING_RAD = {"leg_l": 0.55, "leg_r": -0.55, "arm_l": -0.4, "arm_r": 0.4}
UNTURNED = np.eye(4)
SWITCHED = ("brake_light", "head_light", "lamp_red", "lamp_yellow", "lamp_green")


def roll(angle: float) -> NDArray[np.float64]:
    """Return the turn about y (3, 3) that moves the top of a wheel forward."""
    c, s = cos(angle), sin(angle)
    return np.array([[c, 0.0, s], [0.0, 1.0, 0.0], [-s, 0.0, c]])


def steer(angle: float) -> NDArray[np.float64]:
    """Return the turn about z (3, 3) that takes x, forward, towards y, right."""
    c, s = cos(angle), sin(angle)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


def part_turn(part: str, instance: Instance) -> NDArray[np.float64] | None:
    """Return a part's own turn (3, 3) about its pivot, None where it does not move."""
    if part.startswith("wheel_"):
        turn = roll(instance.wheel_spin)
        return steer(instance.wheel_steer) @ turn if part in STEERED else turn
    if part in SWING_RAD:
        return roll(SWING_RAD[part] * sin(instance.stride))
    return None


def part_to_world(part: str, model: Model, instance: Instance) -> NDArray[np.float64]:
    """Return the (4, 4) transform of one part's vertices, model axes to world, metres."""
    turn = part_turn(part, instance)
    if turn is None:
        return instance.model_to_world
    pivot = np.asarray(model.pivots.get(part, (0.0, 0.0, 0.0)), np.float64)
    local = UNTURNED.copy()  # quicker than another np.eye
    local[:3, :3] = turn
    local[:3, 3] = pivot - turn @ pivot
    return np.asarray(instance.model_to_world @ local, np.float64)


def parts_of(model: Model) -> tuple[str, ...]:
    """Return the model's part names, sorted, the body "" first."""
    return tuple(sorted({mesh.part for mesh in model.meshes}))
