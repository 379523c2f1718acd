"""A recipe of drives: towns, weathers, times, seeds and routes, each combination a drive."""

from __future__ import annotations

import difflib
import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal

from realmaster_live.datasets.names import unique_names
from realmaster_live.errors import ConfigError, reason
from realmaster_live.frames.chunk import LABEL_DTYPES
from realmaster_live.frames.rig import DEFAULT_LABELS, Rig, RigCamera
from realmaster_live.frames.rig_sensors import USUAL_SENSORS
from realmaster_live.frames.route import Route, read_route
from realmaster_live.optional import require
from realmaster_live.system.texts import read_toml

msgspec = require("msgspec", extra="live")

MINITOWN = "minitown"
TOWN = re.compile(r"MiniTown(\d{1,6})")
ADDRESS = re.compile(r"(\[[0-9a-fA-F:.]+\]|[^:\s]+):(\d{1,5})")
SIZE = re.compile(r"([1-9]\d{0,4})x([1-9]\d{0,4})")
MOST_DRIVES = 100_000
Time = Literal["day", "dusk", "night"]


@dataclass(frozen=True, kw_only=True)
class DriveTable:
    """One `[[drives]]` of a recipe: every combination of its lists is a drive.

    Attributes:
        towns: MiniTown1 and so on, or maps of the CARLA server.
        weathers: names of CARLA's presets.
        times: of the day; without any, the preset's own.
        seeds: of the traffic, and of the vehicle that carries the cameras.
        routes: as `record --route` takes them; without any, the vehicle drives where it likes.
        seconds: simulated time of each drive, in place of the recipe's.
    """

    towns: tuple[str, ...]
    weathers: tuple[str, ...] = ("ClearNoon",)
    times: tuple[Time, ...] = ()
    seeds: tuple[int, ...] = (0,)
    routes: tuple[str, ...] = ()
    seconds: float | None = None


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What is recorded.

    Attributes:
        server: "minitown", or HOST:PORT of a CARLA server that belongs to the command: it loads
            maps there, and spawns and destroys the traffic.
        seconds: simulated time of a drive; one with a route ends at its end, or earlier.
        fps: frames a second. size: of the pictures. fov_deg: horizontal.
        labels: to record. sensors: on the vehicle.
        rig: TOML file of the cameras, in place of size, fov_deg and labels.
        engine: as `record --engine` takes it. licence: of what is recorded.
        vehicles, walkers: in each town.
        load_s: the longest that the CARLA server may take to load a map.
        drives: what is combined.
    """

    drives: tuple[DriveTable, ...]
    server: str = MINITOWN
    seconds: float = 30.0
    fps: float = 20.0
    size: str = "512x288"
    fov_deg: float = 80.0
    labels: tuple[str, ...] = DEFAULT_LABELS
    sensors: tuple[str, ...] = USUAL_SENSORS
    rig: Path | None = None
    engine: str = "embedded"
    licence: str = ""
    vehicles: int = 30
    walkers: int = 20
    load_s: float = 120.0

    @property
    def address(self) -> tuple[str, int] | None:
        """Host and port of the CARLA server; None for minitown."""
        found = ADDRESS.fullmatch(self.server)
        return None if found is None else (found[1], int(found[2]))

    def cameras(self) -> Rig:
        """Return the cameras; ConfigError where the rig's file is none."""
        if self.rig is not None:
            return Rig.load(self.rig)
        width, height = map(int, self.size.split("x"))
        front = RigCamera(
            name="front", width=width, height=height, fov_deg=self.fov_deg, labels=self.labels
        )
        return Rig((front,))


@dataclass(frozen=True, kw_only=True)
class PlannedDrive:
    """One drive of a recipe; `name` is that of its folder."""

    name: str
    town: str
    weather: str
    time: Time | None
    seed: int
    route: Route | None
    seconds: float


def read_recipe(path: Path) -> Recipe:
    """Return the recipe in a TOML file; names of files in it are relative to its folder.

    Raises:
        ConfigError: it is none; the message names the key.
    """
    try:
        content = read_toml(path)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"expected a recipe of drives in {path}, got {reason(error)}: see docs/datasets.md"
        ) from error
    _check_keys(path, content, Recipe, "")
    tables = content.get("drives")
    if isinstance(tables, list):
        for number, table in enumerate(tables):
            if isinstance(table, dict):
                _check_keys(path, table, DriveTable, f" of drives {number + 1}")
    try:
        recipe: Recipe = msgspec.convert(content, Recipe, dec_hook=_decoded)
    except (msgspec.ValidationError, RecursionError) as error:
        raise ConfigError(
            f"expected a recipe of drives in {path}, got: {error}: correct it there"
        ) from error
    _check(path, recipe)
    return recipe if recipe.rig is None else replace(recipe, rig=path.parent / recipe.rig)


def plan_drives(recipe: Recipe, folder: Path) -> tuple[PlannedDrive, ...]:
    """Return the drives in order, each with a name of its own.

    Args:
        recipe: what is combined.
        folder: where files of routes are.

    Raises:
        ConfigError: a route is none, or a drive occurs twice.
    """
    keys: list[tuple[str, ...]] = []
    found: list[dict[str, Any]] = []
    for table in recipe.drives:
        combined = itertools.product(
            table.towns,
            table.weathers,
            table.times or (None,),
            table.seeds,
            table.routes or (None,),
        )
        for town, weather, time, seed, text in combined:
            route = None if text is None else _route(text, folder)
            parts = [town, weather, time or "", f"s{seed}", "" if route is None else route.name]
            keys.append(tuple(filter(None, parts)))
            found.append(
                {
                    "town": town,
                    "weather": weather,
                    "time": time,
                    "seed": seed,
                    "route": route,
                    "seconds": recipe.seconds if table.seconds is None else table.seconds,
                }
            )
            if len(found) > MOST_DRIVES:
                raise ConfigError(
                    f"expected at most {MOST_DRIVES} drives, got more: split the recipe"
                )
    twice = [key for key, count in _counts(keys).items() if count > 1]
    if twice:
        raise ConfigError(
            f"expected each drive once, got {' '.join(twice[0])} in several tables: leave one out"
        )
    names = unique_names(keys, "-")
    return tuple(PlannedDrive(name=name, **facts) for name, facts in zip(names, found, strict=True))


def _counts(keys: Sequence[tuple[str, ...]]) -> Mapping[tuple[str, ...], int]:
    counts: dict[tuple[str, ...], int] = {}
    for key in keys:
        counts[key] = counts.get(key, 0) + 1
    return counts


def _route(text: str, folder: Path) -> Route:
    file = folder / text
    return read_route(str(file) if file.is_file() else text)


def _check_keys(path: Path, table: Mapping[str, Any], kind: type, where: str) -> None:
    known = [field.name for field in fields(kind)]
    for key in table:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            meant = f" (did you mean {near[0]}?)" if near else ""
            raise ConfigError(
                f"expected keys{where} among {', '.join(known)} in {path}, got {key!r}{meant}: "
                "correct it there"
            )


def _check(path: Path, recipe: Recipe) -> None:
    """Refuse what no drive can be made of."""
    port = recipe.address
    problems = {
        "server": (
            "minitown or HOST:PORT",
            recipe.server == MINITOWN or (port is not None and 0 < port[1] <= 65535),
        ),
        "size": ("a size such as 512x288", bool(SIZE.fullmatch(recipe.size))),
        "labels": (f"among {', '.join(LABEL_DTYPES)}", LABEL_DTYPES.keys() >= {*recipe.labels}),
        "seconds": ("above 0", 0 < recipe.seconds < 1e7),
        "load_s": ("above 0", 0 < recipe.load_s < 1e7),
        "fps": ("above 0 and up to 1000", 0 < recipe.fps <= 1000),
        "fov_deg": ("between 0 and 180", 0 < recipe.fov_deg < 180),
        "vehicles": ("from 0 to 10000", 0 <= recipe.vehicles <= 10_000),
        "walkers": ("from 0 to 10000", 0 <= recipe.walkers <= 10_000),
        "drives": ("one table or more", bool(recipe.drives)),
    }
    for name, (expected, holds) in problems.items():
        if not holds:
            got = getattr(recipe, name)
            raise ConfigError(
                f"expected {name} {expected} in {path}, got {got!r}: correct it there"
            )
    for table in recipe.drives:
        for name in ("towns", "weathers", "seeds"):
            if not getattr(table, name):
                raise ConfigError(f"expected {name} in each drives of {path}, got none: name one")
        if table.seconds is not None and not 0 < table.seconds < 1e7:
            raise ConfigError(
                f"expected seconds above 0 in {path}, got {table.seconds:g}: raise it"
            )
        wrong = [town for town in table.towns if not TOWN.fullmatch(town)]
        if wrong and recipe.address is None:
            raise ConfigError(
                f"expected towns such as MiniTown7 in {path}, got {wrong[0]!r}: name the server of "
                "CARLA's maps with server, or another town"
            )


def _decoded(kind: type, value: Any) -> Any:
    if kind is Path and isinstance(value, str):
        return Path(value)
    raise TypeError(f"{value!r} is no {kind.__name__}")
