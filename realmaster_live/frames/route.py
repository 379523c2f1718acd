"""A route: the places of a town that a vehicle drives to, one after another."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

from realmaster_live.errors import ConfigError
from realmaster_live.system.texts import read_text

SPAWN_POINTS = re.compile(r"\d{1,6}(\.\.\d{1,6})*")
REMEDY = "write x,y;x,y in metres, or numbers of spawn points such as 3..17, or name a file"


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """Where to drive.

    Attributes:
        name: what data sets split by: the text that was given, or the file's name.
        points: x, y in the simulator's own axes and metres.
        spawn_points: numbers of the map's spawn points, where there are no points.
    """

    name: str
    points: tuple[tuple[float, float], ...] = ()
    spawn_points: tuple[int, ...] = ()


def read_route(text: str) -> Route:
    """Return the route of text such as "10,20;30,40" or "3..17", or of a file with x,y lines.

    Raises:
        ConfigError: it is none; the message says what a route is.
    """
    plain = text.strip()
    if SPAWN_POINTS.fullmatch(plain):
        return Route(name=plain, spawn_points=tuple(map(int, plain.split(".."))))
    if re.fullmatch(r"[-+\d.,;eE\s]*", plain) and "," in plain:
        points = _points(plain.split(";"), text)
        return Route(name=";".join(f"{x:g},{y:g}" for x, y in points), points=points)
    path = Path(text)
    if not path.is_file():
        raise ConfigError(f"expected a route, got {text!r}, which is no file either: {REMEDY}")
    content = read_text(path, what="a route", remedy=REMEDY, error=ConfigError)
    lines = (line.partition("#")[0] for line in content.splitlines())
    points = _points([part for line in lines for part in line.split(";") if part.strip()], text)
    return Route(name=path.stem, points=points)


def _points(parts: list[str], text: str) -> tuple[tuple[float, float], ...]:
    found = []
    for part in filter(str.strip, parts):
        try:
            x, y = map(float, part.split(",")[:2])
            if not (math.isfinite(x) and math.isfinite(y)):
                raise ValueError(part)
        except ValueError as error:
            raise ConfigError(
                f"expected x,y for each place of the route {text}, got {part.strip()!r}: {REMEDY}"
            ) from error
        found.append((x, y))
    if not found:
        raise ConfigError(f"expected places in the route {text}, got none: {REMEDY}")
    return tuple(found)
