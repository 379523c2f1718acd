"""The prompts for which minitown can render a truth: the same scene in another weather."""

from __future__ import annotations

from dataclasses import replace

from realmaster_live.errors import ConfigError
from realmaster_live.minitown.scene import Weather

AS_SIMULATED = "as simulated"
PROMPTS = (AS_SIMULATED, "clear", "rain", "snow", "fog", "night", "overcast")

DRY = {"precipitation": 0.0, "precipitation_deposits": 0.0, "wetness": 0.0, "fog_density": 0.0}


def weather_for(prompt: str, weather: Weather) -> Weather:
    """Return the weather that a prompt asks for in a scene; the sun stays where it was by day.

    Snow on the ground is not a matter of the weather: give the path tracer a town under snow.
    """
    match prompt:
        case "as simulated":
            return weather
        case "clear":
            high = max(weather.sun_altitude_angle, 25.0)
            clouds = min(weather.cloudiness, 12.0)
            return replace(weather, **DRY, cloudiness=clouds, sun_altitude_angle=high)
        case "overcast":
            return replace(weather, **DRY, cloudiness=95.0)
        case "rain":
            wet = {"precipitation": 60.0, "precipitation_deposits": 75.0, "wetness": 85.0}
            return replace(weather, **DRY | wet, cloudiness=98.0)
        case "snow":
            return replace(weather, **DRY | {"fog_density": 5.0}, cloudiness=95.0)
        case "fog":
            return replace(weather, **DRY | {"fog_density": 38.0}, cloudiness=90.0)
        case "night":
            return replace(weather, **DRY, cloudiness=30.0, sun_altitude_angle=-20.0)
    raise ConfigError(
        f"expected a prompt among {', '.join(PROMPTS)}, got {prompt!r}: choose one of them"
    )
