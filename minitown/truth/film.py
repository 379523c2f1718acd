"""How the path-traced light becomes a photograph: air, lens, white balance, exposure, response.

Every step is a camera's own, and each follows from the weather alone, never from the picture, so
that nothing pumps from frame to frame.
"""

from __future__ import annotations

from math import pi

import cv2
import numpy as np
from numpy.typing import NDArray

from realmaster_live.minitown.raster import sky
from realmaster_live.minitown.raster.sky import CLEAR_PER_M
from realmaster_live.minitown.scene import Floats, Weather
from realmaster_live.minitown.truth import daylight

MIDDLE = 2.1  # exposure that puts sunlit asphalt near mid grey, as a dash camera's meter does
ADAPTATION = 0.63  # how far the exposure follows the light: 1 makes night as bright as day
BRIGHTEST_EXPOSURE = 26.0
BALANCE = 0.6  # how far the white balance follows the light: 1 makes its mean colour grey
SHADE_SHARE = 0.5  # weight of the shade's light in what the white balance takes for grey
VIGNETTE = 0.24  # light lost in the picture's corners
SHOULDER = 3.6  # light that is displayed white
CONTRAST, GREY = 1.18, 0.25  # slope of the response in logarithms, and the light that it keeps
POINT = 0.00085  # deviation of the lens's spread of a point, in widths of the picture
GLARE = ((0.04, 0.006), (0.012, 0.06))  # shares of the light, and how far the lens scatters them


def exposure(weather: Weather) -> float:
    """Return the fixed exposure that a camera would choose in this weather."""
    return float(
        min(MIDDLE * (3.4 / daylight.horizontal(weather)) ** ADAPTATION, BRIGHTEST_EXPOSURE)
    )


def dome() -> NDArray[np.float64]:
    """Return unit directions (N, 3) that share the upper hemisphere's cosine evenly."""
    across, up = np.meshgrid(np.arange(12) + 0.5, np.arange(6) + 0.5)
    out, angle = np.sqrt(up / 6), across * 2 * pi / 12
    return np.stack([out * np.cos(angle), out * np.sin(angle), np.sqrt(1 - up / 6)], -1).reshape(
        -1, 3
    )


def white_balance(weather: Weather) -> NDArray[np.float64]:
    """Return the gains (3,) that turn a grey card's colour towards grey, their mean 1.

    The card lies half in the sun and half in the shade, as a camera's automatic balance averages a
    street. Lamps at night keep most of their colour.
    """
    shade = pi * daylight.sky_radiance(dome(), weather).mean(axis=0)
    sun = daylight.sun_irradiance(weather) * max(sky.sun_direction(weather)[2], 0.0)
    colour = (
        SHADE_SHARE * shade / shade.mean()
        + (1 - SHADE_SHARE) * (shade + sun) / (shade + sun).mean()
    )
    night = 1.0 - sky.day_share(weather)
    gains = (colour.mean() / colour) ** (BALANCE * (1 - 0.6 * night))
    return np.asarray(gains / gains.mean())


def response(linear: Floats) -> Floats:
    """Return display light 0..1, before the sRGB curve, of exposed light (..., 3).

    Reinhard et al. 2002, eq. 4, with a steeper slope at mid grey. Half of it is applied to each
    channel, which bleaches highlights as sensors do, and half to the luminance, which keeps the
    colours of the shade.
    """

    def curve(x: Floats) -> Floats:
        steep = GREY * (np.maximum(x, 1e-6) / GREY) ** CONTRAST
        return np.asarray(steep * (1 + steep / SHOULDER**2) / (1 + steep), np.float32)

    light = np.maximum(linear, 0.0)
    grey = np.maximum(light @ np.array([0.2126, 0.7152, 0.0722], np.float32), 1e-6)[..., None]
    shown = 0.5 * curve(light) + 0.5 * light * (curve(grey) / grey)
    return np.asarray(np.clip(shown, 0.0, 1.0), np.float32)


def srgb(linear: Floats) -> NDArray[np.uint8]:
    """Return sRGB bytes of linear light in 0..1."""
    curve = np.where(
        linear <= 0.0031308, 12.92 * linear, 1.055 * np.maximum(linear, 1e-6) ** (1 / 2.4) - 0.055
    )
    return np.round(np.clip(curve, 0.0, 1.0) * 255.0).astype(np.uint8)


def through_lens(linear: Floats) -> Floats:
    """Return the light (H, W, 3) that reaches the sensor: spread, scattered, corners darker."""
    height, width = linear.shape[:2]
    y, x = np.mgrid[:height, :width]
    off = ((x + 0.5) / width - 0.5) ** 2 + ((y + 0.5) / height - 0.5) ** 2 * (height / width) ** 2
    light = linear * (1.0 - sum(share for share, _ in GLARE))
    for share, spread in GLARE:
        light = light + share * blurred(linear, spread * width)
    light = blurred(light, POINT * width)
    return np.asarray(light * (1.0 - VIGNETTE * off / off.max())[..., None], np.float32)


def blurred(linear: Floats, sigma: float) -> Floats:
    """Return the light (H, W, 3) spread by a Gaussian of `sigma` pixels."""
    return np.asarray(
        cv2.GaussianBlur(
            np.ascontiguousarray(linear, np.float32), (0, 0), sigma, borderType=cv2.BORDER_REPLICATE
        ),
        np.float32,
    )


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
    gains = exposure(weather) * white_balance(weather)
    return srgb(response(through_lens(linear) * gains.astype(np.float32)))
