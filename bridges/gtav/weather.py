"""A prompt or a weather in words as one of GTA-V's weathers and an hour."""

from __future__ import annotations

from collections.abc import Mapping

from realmaster_live.bridges.gtav.protocol.messages import WEATHERS
from realmaster_live.errors import ConfigError
from realmaster_live.prompts import PRESETS

GAME_WEATHERS: Mapping[str, str] = {
    "clear": "CLEAR", "sunny": "EXTRASUNNY", "cloudy": "CLOUDS", "overcast": "OVERCAST",
    "rain": "RAIN", "wet": "CLEARING", "storm": "THUNDER", "fog": "FOGGY", "snow": "SNOW",
}  # fmt: skip
HOURS: Mapping[str, int] = {"night": 23, "day": 12}


def game_weather(wanted: str) -> tuple[str | None, int | None]:
    """Return the game's weather and the hour for a name, words such as "night rain", or a prompt.

    Either is None where `wanted` does not mention it. The game's own names are taken in any case.

    Raises:
        ConfigError: a word is none of these.
    """
    if wanted.strip().upper() in WEATHERS:
        return wanted.strip().upper(), None
    name = _preset(wanted) or wanted
    words = name.lower().split()
    unknown = [word for word in words if word not in GAME_WEATHERS and word not in HOURS]
    if unknown or not words:
        raise ConfigError(
            f"expected a weather among {', '.join((*GAME_WEATHERS, *HOURS))} or the game's own "
            f"{', '.join(WEATHERS)}, got {wanted!r}: give one of them"
        )
    weathers = [GAME_WEATHERS[word] for word in words if word in GAME_WEATHERS]
    hours = [HOURS[word] for word in words if word in HOURS]
    # "wet clear" names the ground first; the sky decides
    return (weathers[-1] if weathers else None), (hours[-1] if hours else None)


def weather_in_words(wanted: str) -> str:
    """Return what a data set calls a weather that `game_weather` takes: "RAIN" is "rain"."""
    name = _preset(wanted) or wanted.strip()
    words = (word for word, weather in GAME_WEATHERS.items() if weather == name.upper())
    return next(words, name.lower())


def _preset(text: str) -> str | None:
    """Return the name of the prompt with this text."""
    return next((name for name, known in PRESETS.items() if known == text.strip()), None)
