"""Facts that somebody wrote beside footage: where it is from, its rate, its lens.

A video `drive.mp4` may have a `drive.json` beside it, and a folder of pictures an `about.json` in
it: a JSON object with any of town, route, weather, seed, prompt, licence, fps and fov_deg.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from realmaster_live.errors import PairError
from realmaster_live.system.texts import read_object

TEXTS = ("town", "route", "weather", "prompt", "licence", "simulator")
NUMBERS = {"fps": 1000.0, "fov_deg": 179.0, "vfov_deg": 179.0, "near_m": 1e6}  # above 0, up to
POSES = "cam_to_world"
MAX_INTEGER = 2**63 - 1
STRUCTURED = ("camera", "cameras", "ego", "counts", "details", "we_tick", "ticked_by")
DEEPEST = 16


def read_sidecar(path: Path) -> dict[str, Any]:
    """Return the facts beside a video or a folder of pictures; empty without a sidecar.

    Raises:
        PairError: it is no JSON object, or a value is of the wrong type or out of range.
    """
    sidecar = path / "about.json" if path.is_dir() else path.with_suffix(".json")
    if not sidecar.exists():
        return {}
    facts = read_object(
        sidecar,
        what="a JSON object with town, route and so on",
        remedy="mend it or delete it",
        error=PairError,
    )
    known = {key: value for key, value in facts.items() if value is not None}
    for key, value in known.items():
        expected = _problem(key, value)
        if expected:
            shown = repr(value)
            shown = shown if len(shown) <= 60 else f"{shown[:57]}..."
            named = key if key.isidentifier() else f"{key!r:.40}"
            raise PairError(
                f"expected {expected} for {named} of {path}, got {shown}: mend its JSON, {sidecar}"
            )
    return known


def _problem(key: str, value: Any) -> str:
    """Return what is expected of a key; empty where the value is that."""
    if key in STRUCTURED:
        return "no such fact: it is left out"
    if key in TEXTS and not isinstance(value, str):
        return "a text"
    if key in NUMBERS and not (is_number(value) and 0 < value <= NUMBERS[key]):
        return f"a number above 0 and up to {NUMBERS[key]:g}"
    if key == "seed" and not (isinstance(value, int) and is_number(value)):
        return "a whole number"
    if key == "size" and not _is_size(value):
        return "[width, height]"
    if key == POSES and not (isinstance(value, list) and all(map(_is_entry, value))):
        return "16 numbers a picture"
    return "" if _is_plain(value) else "text, numbers within 64 bits, lists or objects of them"


def is_number(value: Any) -> bool:
    """Return whether a value of JSON is a finite number that 64 bits hold."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return abs(value) <= MAX_INTEGER if isinstance(value, int) else math.isfinite(value)


def _is_entry(value: Any) -> bool:
    """Return whether a value is a number, or a list of numbers, nested as matrices are."""
    if isinstance(value, list):
        return all(
            is_number(each) or (isinstance(each, list) and all(map(is_number, each)))
            for each in value
        )
    return is_number(value)


def _is_size(value: Any) -> bool:
    match value:
        case [int(width), int(height)]:
            return not isinstance(width, bool) and min(value) > 0 and max(width, height) < 2**16
    return False


def _is_plain(value: Any, depth: int = 0) -> bool:
    """Return whether a value can be written into a recording's JSON."""
    if depth > DEEPEST:
        return False
    if isinstance(value, str):
        return not any("\ud800" <= each <= "\udfff" for each in value)
    if isinstance(value, dict):
        return all(_is_plain(key) and _is_plain(each, depth + 1) for key, each in value.items())
    if isinstance(value, list):
        return all(_is_plain(each, depth + 1) for each in value)
    return value is None or isinstance(value, bool) or is_number(value)
