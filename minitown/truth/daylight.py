"""The sky as a camera would meter it: radiance of sun and sky, for the path-traced look.

Unit of radiance: 20,000 candela a square metre, so that a clear noon sun gives about 4.5.
Clear sky: Preetham, Shirley, Smits, "A Practical Analytic Model for Daylight", 1999.
"""

from __future__ import annotations

from math import pi, radians, sin, tan

import numpy as np
from numpy.typing import NDArray

from realmaster_live.minitown.raster import sky
from realmaster_live.minitown.scene import Floats, Weather

Array = NDArray[np.float64]
TURBIDITY = 2.6
KCD_TO_UNIT = 1 / 11.0  # a little more than the paper: houses round a street add their own
SUN_IRRADIANCE = 4.6
BLUER = np.array([0.88, 0.985, 1.13])  # the paper's sky is whiter than a camera's
BRIGHTEST_CLEAR = 1.6  # keeps colour in the sky round the sun, as a film's shoulder does
OVERCAST_ZENITH = 0.55
NIGHT = np.array([0.0024, 0.0027, 0.0036])  # a town's sky glow, far above real starlight
PEREZ = {  # the paper's appendix A.2: slope and offset in turbidity of A, B, C, D, E
    "Y": (
        (0.1787, -0.3554, -0.0227, 0.1206, -0.0670),
        (-1.4630, 0.4275, 5.3251, -2.5771, 0.3703),
    ),
    "x": (
        (-0.0193, -0.0665, -0.0004, -0.0641, -0.0033),
        (-0.2592, 0.0008, 0.2125, -0.8989, 0.0452),
    ),
    "y": (
        (-0.0167, -0.0950, -0.0079, -0.0441, -0.0109),
        (-0.2608, 0.0092, 0.2102, -1.6537, 0.0529),
    ),
}
ZENITH = {
    "x": ((0.00166, -0.00375, 0.00209, 0.0), (-0.02903, 0.06377, -0.03202, 0.00394),
          (0.11693, -0.21196, 0.06052, 0.25886)),
    "y": ((0.00275, -0.00610, 0.00317, 0.0), (-0.04214, 0.08970, -0.04153, 0.00516),
          (0.15346, -0.26756, 0.06670, 0.26688)),
}  # fmt: skip
XYZ_TO_RGB = np.array(
    [[3.2406, -1.5372, -0.4986], [-0.9689, 1.8758, 0.0415], [0.0557, -0.2040, 1.0570]]
)


def preetham(directions: Array, sun: Array) -> Array:
    """Return the clear sky's linear radiance (..., 3) in each unit direction (..., 3)."""
    sun_zenith = float(np.arccos(np.clip(sun[2], 0.02, 1.0)))
    cosine = np.maximum(directions[..., 2], 0.015)
    gamma_cos = np.clip(directions @ sun, -1.0, 1.0)
    gamma = np.arccos(gamma_cos)

    def spread(name: str) -> Array:
        a, b, c, d, e = np.array(PEREZ[name][0]) * TURBIDITY + PEREZ[name][1]

        def perez(cos_zenith: Array | float, angle: Array | float) -> Array:
            first = 1 + a * np.exp(b / cos_zenith)
            second = 1 + c * np.exp(d * angle) + e * np.cos(angle) ** 2
            return np.asarray(first * second)

        return perez(cosine, gamma) / perez(1.0, sun_zenith)

    chi = (4 / 9 - TURBIDITY / 120) * (pi - 2 * sun_zenith)
    zenith = {
        "Y": (4.0453 * TURBIDITY - 4.9710) * tan(chi) - 0.2155 * TURBIDITY + 2.4192,
        **{
            name: float(
                np.array([TURBIDITY**2, TURBIDITY, 1.0])
                @ np.array(rows)
                @ np.array([sun_zenith**3, sun_zenith**2, sun_zenith, 1.0])
            )
            for name, rows in ZENITH.items()
        },
    }
    luminance = np.maximum(zenith["Y"], 0.3) * spread("Y") * KCD_TO_UNIT
    x, y = zenith["x"] * spread("x"), zenith["y"] * spread("y")
    xyz = np.stack([x / y, np.ones_like(x), (1 - x - y) / y], axis=-1) * luminance[..., None]
    linear = np.maximum(xyz @ XYZ_TO_RGB.T, 0.0) * BLUER
    return np.asarray(linear / (1.0 + linear.max(axis=-1, keepdims=True) / BRIGHTEST_CLEAR))


def sun_irradiance(weather: Weather) -> Array:
    """Return the linear irradiance (3,) of a surface that faces the sun."""
    up = max(sin(radians(weather.sun_altitude_angle)), 0.0)
    air = float(np.exp(-0.10 / (up + 0.08))) / float(np.exp(-0.10 / 1.08))
    return SUN_IRRADIANCE * air * sky.sun_share(weather) * sky.sun_tint(weather)


def sky_radiance(directions: Array, weather: Weather) -> Array:
    """Return the linear radiance (..., 3) of the sky with its clouds; below: a dull ground."""
    day = sky.day_share(weather)
    sun = sky.sun_direction(weather)
    up = directions[..., 2:]
    raised = np.maximum(directions, (-1.0, -1.0, 0.0))
    raised = raised / np.linalg.norm(raised, axis=-1, keepdims=True)
    high_sun = np.array([*sun[:2], max(sun[2], 0.03)])
    clear = preetham(raised, high_sun / np.linalg.norm(high_sun)) * day
    light = float(np.clip(weather.sun_altitude_angle / 35.0, 0.06, 1.0)) * day
    even = np.array([0.96, 0.99, 1.04]) * OVERCAST_ZENITH * light * (1 + 2 * np.maximum(up, 0)) / 3
    towards = np.maximum(directions @ sun, 0.0)[..., None]
    bright = sun_irradiance(weather) * (0.10 + 0.22 * towards**4)
    cloud = even * 1.25 + bright
    cover = sky.cloud_cover(directions, weather)[..., None]
    overcast = np.clip((weather.cloudiness - 55.0) / 35.0, 0.0, 1.0)
    whole = clear * (1 - cover) + cloud * cover
    whole = whole * (1 - overcast) + (even + 0.12 * (cloud - even)) * overcast
    whole = whole + NIGHT * (1 - day) * (1.6 - np.maximum(up, 0.0))
    below = np.array([0.20, 0.19, 0.17]) * (horizontal(weather) / pi + NIGHT * (1 - day))
    return np.where(up >= 0, whole, below)


def horizontal(weather: Weather) -> float:
    """Return about how much light falls on the open ground; what the exposure follows."""
    day = sky.day_share(weather)
    up = max(sin(radians(weather.sun_altitude_angle)), 0.0)
    sun = float(sun_irradiance(weather).mean()) * up
    light = float(np.clip(weather.sun_altitude_angle / 35.0, 0.2, 1.0))  # dusk stays dusky
    overcast = float(np.clip((weather.cloudiness - 20.0) / 70.0, 0.0, 1.0))
    walls = 0.3 * float(sun_irradiance(weather).mean())  # a low sun lights what stands upright
    return sun * 0.8 + walls + day * light * (0.8 + 0.35 * overcast) + 0.02 * (1 - day)


def environment(weather: Weather, height: int = 256) -> Floats:
    """Return the sky as (height, 2 height, 3) float32 in the path tracer's map directions.

    Column u, row v look to (sin p sin t, -cos p sin t, cos t) in CARLA's axes, p = 2 pi u and
    t = pi v: its own up is y, turned to z, and y is mirrored.
    """
    v = (np.arange(height) + 0.5) / height * pi
    u = (np.arange(2 * height) + 0.5) / (2 * height) * 2 * pi
    t, p = np.meshgrid(v, u, indexing="ij")
    directions = np.stack([np.sin(p) * np.sin(t), -np.cos(p) * np.sin(t), np.cos(t)], axis=-1)
    return np.ascontiguousarray(sky_radiance(directions, weather), np.float32)
