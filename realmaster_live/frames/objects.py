"""Things in the world as the simulator knows them: what they are, how large, where, how fast.

A body's own axes are right-handed: x forward, y left, z up, the origin in the middle of its box.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class SceneObject:
    """One thing at one moment.

    Attributes:
        object_id: the simulator's own number, the same as long as the thing lives.
        class_id: CARLA's class number (`classes.CLASS_NAMES`).
        type_id: the simulator's name of its kind, such as "vehicle.tesla.model3".
        size: (3,) float64, metres: full length, width and height along x, y, z. CARLA's `extent`
            is half of it.
        object_to_world: (4, 4) float64, metres.
        velocity: (3,) float64, m/s, in the world.
        light: what a traffic light shows: "red", "yellow", "green", "off", or "" for other things.
        fixed: part of the level; it never moves and the simulator lists no actor for it.
        mask_id: the number by which the instance label may know it (low 16 bits), 0 unknown.
    """

    object_id: int
    class_id: int
    type_id: str
    size: NDArray[np.float64]
    object_to_world: NDArray[np.float64]
    velocity: NDArray[np.float64]
    light: str = ""
    fixed: bool = False
    mask_id: int = 0
