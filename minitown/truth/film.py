"""How the path-traced light becomes a photograph: air, exposure, film curve, lens."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from realmaster_live.minitown.raster import sky
from realmaster_live.minitown.raster.sky import CLEAR_PER_M
from realmaster_live.minitown.scene import Floats, Weather
from realmaster_live.minitown.truth import daylight

MIDDLE = 0.8  # exposure that puts sunlit asphalt a little below mid grey
ADAPTATION = 0.78  # how far the exposure follows the light: 1 makes night as bright as day
BRIGHTEST_EXPOSURE = 22.0
SATURATION = 0.94
VIGNETTE = 0.16  # light lost in the picture's corners
WARMTH = np.array([1.03, 1.0, 0.965])


def exposure(weather: Weather) -> float:
    """Return the fixed exposure that a camera would choose in this weather."""
    return float(
        min(MIDDLE * (3.4 / daylight.horizontal(weather)) ** ADAPTATION, BRIGHTEST_EXPOSURE)
    )


def filmic(linear: Floats) -> Floats:
    """Return display light 0..1 by Narkowicz's fit of the ACES curve, before the sRGB curve."""
    x = np.maximum(linear, 0.0)
    return np.clip(x * (2.51 * x + 0.03) / (x * (2.43 * x + 0.59) + 0.14), 0.0, 1.0)


def srgb(linear: Floats) -> NDArray[np.uint8]:
    """Return sRGB bytes of linear light in 0..1."""
    curve = np.where(
        linear <= 0.0031308, 12.92 * linear, 1.055 * np.maximum(linear, 1e-6) ** (1 / 2.4) - 0.055
    )
    return np.round(np.clip(curve, 0.0, 1.0) * 255.0).astype(np.uint8)


def through_air(
    linear: Floats,  # (H, W, 3)
    distance: Floats,  # (H, W) metres along the ray, inf at sky
    weather: Weather,
) -> Floats:
    """Return the light (H, W, 3) after haze, fog or dust."""
    horizon = np.array([[np.cos(a), np.sin(a), 0.06] for a in np.linspace(0, 6.28, 12)])
    colour = daylight.sky_radiance(horizon / np.linalg.norm(horizon, axis=1)[:, None], weather)
    air = np.minimum(colour.mean(axis=0), 1.2 * colour.mean())
    droplets = float(np.clip((sky.fog_per_m(weather) - CLEAR_PER_M) / 0.01, 0.0, 1.0))
    air = air + (air.mean() - air) * 0.8 * droplets  # fog scatters all colours alike
    dust = weather.dust_storm / 100.0
    air = air * (1 - dust) + air.mean() * np.array([1.25, 0.98, 0.65]) * dust
    clear = sky.fog_per_m(weather) < 3 * CLEAR_PER_M  # the sky's own colour holds its haze
    reach = np.where(np.isfinite(distance), distance, 0.0 if clear else 600.0)
    through = np.exp(-sky.fog_per_m(weather) * reach)[..., None]
    return np.asarray(linear * through + air * (1 - through), np.float32)


def develop(linear: Floats, weather: Weather) -> NDArray[np.uint8]:
    """Return the photograph (H, W, 3) uint8 sRGB of linear light (H, W, 3)."""
    height, width = linear.shape[:2]
    y, x = np.mgrid[:height, :width]
    off = ((x + 0.5) / width - 0.5) ** 2 + ((y + 0.5) / height - 0.5) ** 2 * (height / width) ** 2
    light = linear * exposure(weather) * WARMTH
    light = light * (1.0 - VIGNETTE * off / off.max())[..., None]
    grey = light @ np.array([0.2126, 0.7152, 0.0722])
    light = grey[..., None] + (light - grey[..., None]) * SATURATION
    return srgb(filmic(light.astype(np.float32)))
