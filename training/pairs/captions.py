"""Captions of clips from what their recording says: weather, time of day, town.

A model is asked for a weather by the texts of `realmaster_live.prompts`, so clips are described by
the same texts: what is trained is what is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from realmaster_live.prompts import WEATHERS, describe

LOW_SUN_DEG = 12.0  # below it, and above the horizon, shadows are long
TOWNS = {  # CARLA's maps, as its documentation describes them
    "Town01": "through a small town with a river and bridges",
    "Town02": "through a small town of houses and shops",
    "Town03": "through a large town with a roundabout and an underpass",
    "Town04": "through a small town by a mountain highway",
    "Town05": "through a town of wide avenues in a grid",
    "Town06": "along highways of many lanes",
    "Town07": "along narrow country roads past barns and fields",
    "Town10HD": "through a downtown of high buildings and a promenade",
}


def caption_of(weather: str, *, town: str = "", sun_deg: float | None = None) -> str:
    """Return the text for a weather in words, such as "night rain", and where and when it was.

    Names inside other words count, as in CARLA's "WetCloudySunset"; what is unknown is left out.
    """
    words = weather.lower()
    names = [name for name in WEATHERS if name in words]
    low = sun_deg is not None and 0.0 <= sun_deg < LOW_SUN_DEG
    if ("sunset" in words or low) and "night" not in names:
        names.append("low sun")
    return describe(names, TOWNS.get(town.removesuffix("_Opt"), ""))


def sun_of(weather: Any) -> float | None:
    """Return the sun's height above the horizon, degrees, of CARLA's parameters of a weather."""
    height = weather.get("sun_altitude_angle") if isinstance(weather, Mapping) else None
    return float(height) if isinstance(height, int | float) else None
