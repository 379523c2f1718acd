"""Values of blueprint attributes: checked once, where a client or a log brings them."""

from __future__ import annotations

import math
from collections.abc import Mapping

from realmaster_live.errors import ActorError
from realmaster_live.minitown.traffic.blueprint_attributes import BOOL, COLOR, FLOAT, INT, Blueprint

LARGEST = 1e8  # a lidar has millions of points a second
LONGEST = 1024  # characters of a value
MOST_UNKNOWN = 64  # attributes that this library lacks: another release's log has some


def checked(blueprint: Blueprint, given: Mapping[str, str]) -> dict[str, str]:
    """Return the values of all attributes of an actor: the given ones, else the defaults.

    Raises:
        ActorError: a value is not of its attribute's kind, or is out of range.
    """
    kinds = {attribute.id: attribute.kind for attribute in blueprint.attributes}
    if len(given.keys() - kinds.keys()) > MOST_UNKNOWN:
        raise ActorError(
            f"expected attributes of {blueprint.id}, got {len(given)} others: set only its own"
        )
    for name, text in given.items():
        if len(text) > LONGEST or len(name) > LONGEST or not _fits(kinds.get(name, ""), text):
            kind = {INT: "a number", FLOAT: "a number", BOOL: "a bool", COLOR: "a colour r,g,b"}
            raise ActorError(
                f"expected {kind.get(kinds.get(name, ''), f'at most {LONGEST} characters')} for "
                f"{name[:40]} of {blueprint.id}, got {text[:40]!r}: set another value"
            )
    return {attribute.id: attribute.value for attribute in blueprint.attributes} | dict(given)


def _fits(kind: str, text: str) -> bool:
    if kind in (INT, FLOAT):
        return _number(text)
    if kind == BOOL:
        return text.lower() in ("true", "false", "0", "1", "")
    if kind == COLOR:
        parts = text.split(",")
        return len(parts) == 3 and all(_number(part) for part in parts)
    return True


def _number(text: str) -> bool:
    try:
        value = float(text)
    except ValueError:
        return False
    return math.isfinite(value) and abs(value) <= LARGEST
