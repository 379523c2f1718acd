"""Sun, clouds and daylight: what both renderers take from the weather. CARLA's axes."""

from __future__ import annotations

from functools import cache
from math import cos, radians, sin

import numpy as np
from numpy.typing import NDArray

from realmaster_live.minitown.scene import Floats, Weather

CLEAR_PER_M = 0.0006  # extinction of clear air
CLOUD_SIDE = 512
CLOUD_SCALE = 0.11  # tiles of the cloud layer a unit of horizontal / vertical direction
CLOUD_EDGE = 0.22  # softness of the clouds' borders, in units of the noise


def sun_direction(weather: Weather) -> NDArray[np.float64]:
    """Return the unit vector (3,) towards the sun; altitude 90 is the zenith."""
    azimuth, altitude = radians(weather.sun_azimuth_angle), radians(weather.sun_altitude_angle)
    level = cos(altitude)
    return np.array([-level * cos(azimuth), -level * sin(azimuth), sin(altitude)])


def day_share(weather: Weather) -> float:
    """Return 1 by day, 0 by night, between them through the twilight."""
    return float(np.clip((weather.sun_altitude_angle + 5.0) / 12.0, 0.0, 1.0))


def lamps_on(weather: Weather) -> bool:
    """Tell whether street lamps and windows are lit."""
    return weather.sun_altitude_angle < 3.0


def sun_share(weather: Weather) -> float:
    """Return how much of the clear sun comes through the clouds and above the horizon, 0..1."""
    cloud = float(np.clip((weather.cloudiness - 25.0) / 60.0, 0.0, 1.0))
    through = 1.0 - float(cloud**0.8)
    above = float(np.clip(weather.sun_altitude_angle / 6.0, 0.0, 1.0))
    return through * above


def sun_tint(weather: Weather) -> NDArray[np.float64]:
    """Return the linear colour (3,) of sunlight, reddening towards the horizon, largest 1."""
    path = 1.0 / (max(sin(radians(weather.sun_altitude_angle)), 0.0) + 0.06)
    tint = np.exp(-np.array([0.032, 0.062, 0.125]) * path)
    return np.asarray(tint / tint.max())


def fog_per_m(weather: Weather) -> float:
    """Return the extinction of air a metre: haze always, fog and dust as the weather says."""
    fog = float((weather.fog_density / 100.0) ** 1.5) * 0.09
    dust = weather.dust_storm / 100.0 * 0.03
    rain = weather.precipitation / 100.0 * 0.006
    return CLEAR_PER_M + fog + dust + rain


@cache
def cloud_noise() -> Floats:
    """Return the tiling cloud layer (512, 512) float32, spread evenly over 0..1."""
    rng = np.random.default_rng(20240917)
    frequency = np.hypot(*np.meshgrid(*(np.fft.fftfreq(CLOUD_SIDE, 1 / CLOUD_SIDE),) * 2))
    amplitude = np.where(frequency > 0, np.maximum(frequency, 1e-9) ** -1.7, 0.0)
    amplitude[frequency < 3] *= 0.5
    phases = np.fft.fft2(rng.standard_normal((CLOUD_SIDE, CLOUD_SIDE)))
    noise = np.fft.ifft2(phases * amplitude).real
    ranks = np.empty(noise.size)
    ranks[np.argsort(noise, axis=None, kind="stable")] = np.linspace(0.0, 1.0, noise.size)
    return np.ascontiguousarray(ranks.reshape(noise.shape), np.float32)


def cloud_threshold(weather: Weather) -> float:
    """Return the noise value above which there is cloud."""
    return 1.05 - 1.25 * weather.cloudiness / 100.0


def cloud_cover(
    directions: NDArray[np.float64],  # (..., 3) unit vectors
    weather: Weather,
) -> NDArray[np.float64]:
    """Return how much cloud (...,) in 0..1 hides the sky in each direction; none at the horizon."""
    up = np.maximum(directions[..., 2], 1e-3)
    flat = directions[..., :2] / (up + 0.08)[..., None] * (CLOUD_SCALE * CLOUD_SIDE)
    base = np.floor(flat).astype(np.int64)
    share = flat - base
    noise = cloud_noise()
    total = np.zeros(up.shape)
    for dy in (0, 1):
        for dx in (0, 1):
            weight = np.abs(1 - dx - share[..., 0]) * np.abs(1 - dy - share[..., 1])
            x = (base[..., 0] + dx) % CLOUD_SIDE
            y = (base[..., 1] + dy) % CLOUD_SIDE
            total += weight * noise[y, x]
    edge = cloud_threshold(weather)
    cover = np.clip((total - edge) / CLOUD_EDGE + 0.5, 0.0, 1.0)
    cover = cover * cover * (3.0 - 2.0 * cover)
    return np.asarray(cover * np.clip(directions[..., 2] / 0.18, 0.0, 1.0))
