"""The light that a simulator knows of its pictures, as channels that guide the encoder.

An encoder with `Profile.light` takes them beside the rendered frames: where the sun stands and
where each place of the picture looks, and clouds, water and fog. From the render alone they can
only be guessed. What is unknown is zero, and adds exactly nothing.

Legend: H W pixels, h w positions of `stride` x `stride` pixels.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np
from numpy.typing import NDArray

from realmaster_live.frames.weather import sun_direction

AXES: Final = ("forward", "right", "up")  # level, forward as the camera looks
PERCENTAGES: Final = (  # of CARLA's weather
    "cloudiness",
    "wetness",
    "precipitation_deposits",
    "precipitation",
    "fog_density",
)
LIGHTS: Final = (
    "known",
    *(f"ray {axis}" for axis in AXES),
    *(f"sun {axis}" for axis in AXES),
    "towards the sun",
    "glow",
    "glare",
    *PERCENTAGES,
)
LOBES: Final = (8, 64)  # powers of the cosine between ray and sun: glow and glare
MIRRORED: Final = tuple(LIGHTS.index(name) for name in ("ray right", "sun right"))
STEEP = 0.01  # of the horizontal part of where a camera looks; less has no direction


@np.errstate(divide="ignore", invalid="ignore")  # what is not a number is unknown
def light_of(
    weather: str | Mapping[str, float],
    cam_to_world: NDArray[np.float64],
    intrinsics: NDArray[np.float64],
    size: tuple[int, int],
    stride: int,
) -> NDArray[np.float32]:  # (len(LIGHTS), h, w)
    """Return the light at each position of a picture.

    It is zero where the sun's angles are unknown, or any number is not finite.

    Args:
        weather: CARLA's parameters by name: angles in degrees, the others in per cent. Words do not
            say where the sun stands.
        cam_to_world: (4, 4), metres.
        intrinsics: (3, 3), pixels.
        size: H and W, multiples of `stride`.
        stride: pixels along one side of a position.
    """
    rows, columns = (side // stride for side in size)
    found = np.zeros((len(LIGHTS), rows, columns), np.float32)
    sun = sun_direction(weather)
    if sun is None or isinstance(weather, str):
        return found
    shares = [weather.get(name, 0.0) for name in PERCENTAGES]
    if not all(isinstance(share, int | float) and np.isfinite(share) for share in shares):
        return found
    u, v = ((np.arange(count) + 0.5) * stride for count in (columns, rows))
    across = (u - intrinsics[0, 2]) / intrinsics[0, 0]
    down = (v[:, None] - intrinsics[1, 2]) / intrinsics[1, 1]
    seen = np.stack(np.broadcast_arrays(across, down, 1.0))  # (3, h, w) in the camera's axes
    level = level_axes(cam_to_world[:3, :3])
    rays = np.tensordot(level @ cam_to_world[:3, :3], seen, 1)
    rays /= np.linalg.norm(rays, axis=0)
    sun = level @ sun
    towards = np.tensordot(sun, rays, 1)
    lobes = [np.maximum(towards, 0.0) ** power for power in LOBES]
    parts = np.clip(np.array(shares) / 100.0, 0.0, 1.0)
    for place, value in enumerate((1.0, *rays, *sun, towards, *lobes, *parts)):
        found[place] = value
    return found if np.isfinite(found).all() else np.zeros_like(found)


def level_axes(camera_axes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the rows `AXES` in the world's axes, of a camera whose axes are the columns.

    Forward is where the camera looks; if it looks straight up or down, where its picture's upper
    edge, or its lower one, points to.
    """
    looks, above = camera_axes[:, 2], -camera_axes[:, 1]
    if np.hypot(*looks[:2]) < STEEP:
        looks = -np.sign(looks[2]) * above
    forward = np.array([looks[0], looks[1], 0.0])
    forward /= np.linalg.norm(forward)
    return np.stack([forward, [forward[1], -forward[0], 0.0], [0.0, 0.0, 1.0]])
