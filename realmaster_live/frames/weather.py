"""Weather in words and where the sun stands, from the parameters of CARLA and the embedded town."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

NIGHT_BELOW_DEG, FOG_FROM, RAIN_FROM, WET_FROM = 0.0, 30.0, 15.0, 40.0
SKIES = ((70.0, "overcast"), (25.0, "cloudy"), (0.0, "clear"))  # by per cent of clouds


def describe_weather(weather: object) -> str:
    """Return weather such as "night rain": from text or from CARLA's parameters."""
    if isinstance(weather, Mapping):
        return _of_parameters(weather)
    return weather.strip() if isinstance(weather, str) else ""


def _of_parameters(weather: Mapping[str, Any]) -> str:
    if not weather:
        return ""
    conditions = {
        "night": weather.get("sun_altitude_angle", 45.0) < NIGHT_BELOW_DEG,
        "rain": weather.get("precipitation", 0.0) >= RAIN_FROM,
        "fog": weather.get("fog_density", 0.0) >= FOG_FROM,
    }
    words = [word for word, holds in conditions.items() if holds]
    if words:
        return " ".join(words)
    clouds = weather.get("cloudiness", 0.0)
    sky = next(word for least, word in SKIES if clouds >= least or least == 0.0)
    return f"wet {sky}" if weather.get("wetness", 0.0) >= WET_FROM else sky


def sun_direction(weather: object) -> NDArray[np.float64] | None:  # (3,)
    """Return the unit vector to the sun in our world's axes; None where its angles are unknown.

    They are in CARLA's preset Default, whose every percentage is -1: the map's own weather.
    CARLA turns the sun's light as if it were a camera of pitch -altitude and yaw azimuth, so the
    sun stands opposite to the azimuth; its own y is our -y.
    """
    if not isinstance(weather, Mapping) or weather.get("cloudiness") == -1.0:
        return None
    angles = [weather.get(f"sun_{name}_angle") for name in ("azimuth", "altitude")]
    known = [one for one in angles if isinstance(one, int | float) and math.isfinite(one)]
    if len(known) < len(angles):
        return None
    azimuth, altitude = map(math.radians, known)
    level = math.cos(altitude)
    return np.array([-level * math.cos(azimuth), level * math.sin(azimuth), math.sin(altitude)])
