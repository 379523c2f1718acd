"""Towns by name: what a server needs of one, ready to be drawn."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from realmaster_live.errors import ActorError, ConfigError
from realmaster_live.minitown.models.objects import EnvironmentObject, environment_objects
from realmaster_live.minitown.plan.navigation import make_navigation
from realmaster_live.minitown.plan.network import make_network
from realmaster_live.minitown.plan.roads import RoadNetwork
from realmaster_live.minitown.scene import StaticScene
from realmaster_live.minitown.server.cameras import Blank, Renderer
from realmaster_live.minitown.server.config import ServerConfig
from realmaster_live.minitown.server.detour import detour_file
from realmaster_live.minitown.server.loop import Remembering
from realmaster_live.minitown.server.rays import Triangles, triangles_of
from realmaster_live.system.contents import EMPTY, ENOUGH, OTHER, classify_content
from realmaster_live.system.texts import read_text

if TYPE_CHECKING:
    from realmaster_live.minitown.raster.ray_caster import RayCaster

LISTED = 10  # of our own towns in get_available_maps; any other number loads as well
MINI = re.compile(r"MiniTown(\d{1,6})")
# CARLA's maps as fixed seeds: another town, so that programs which ask for one by name run
CARLA_TOWNS: Mapping[str, int] = {
    **{f"Town{number:02d}": 500 + number for number in range(1, 16)},
    "Town10HD": 510,
}
OPENDRIVE_MAP = "OpenDriveMap"  # what clients load after they sent an OpenDRIVE
OPTIMISED = "_Opt"  # CARLA's suffix of a map in layers
_HEADER = re.compile(r'<header\b[^>]*\bname="([^"]{1,200})"')
HEADER_CHARACTERS = 4096  # of an OpenDRIVE that hold its header
_LAYOUT = re.compile(r"\A<\?xml[^>]*>\s*|(?<=>)\s+(?=<)")
_ORIGIN = re.compile(r"\+lat_0=([-\d.]+)\s+\+lon_0=([-\d.]+)")


@dataclass(frozen=True, kw_only=True)
class MapChoice:
    """A town by the name that a client gave it, and the seed that makes it."""

    name: str
    seed: int


class NavigationFile(NamedTuple):
    """A file that clients ask for by its name."""

    name: str
    content: bytes


@dataclass(frozen=True)
class Town:
    """A town: its name, roads, meshes (None when nothing is drawn), and what draws it.

    `things` are what stands still: nothing in a town that is not drawn.
    """

    name: str
    network: RoadNetwork
    scene: StaticScene | None
    renderer: Renderer
    things: tuple[EnvironmentObject, ...] = ()

    @property
    def map_name(self) -> str:
        """The name that CARLA's map has."""
        return f"Carla/Maps/{self.name}"

    @cached_property
    def triangles(self) -> Triangles | None:
        """The town's triangles for rays; None when nothing is drawn."""
        return None if self.scene is None else triangles_of(self.scene)

    @cached_property
    def caster(self) -> RayCaster | None:
        """What casts rays at all that is drawn; None when nothing is. Takes a moment to build."""
        if self.scene is None:
            return None
        from realmaster_live.minitown.raster.ray_caster import RayCaster

        return RayCaster(self.scene)

    @cached_property
    def navigation(self) -> NavigationFile:
        """The navigation mesh as clients download it.

        They keep it by its name for good, so that the name follows from the bytes.
        """
        content = detour_file(make_navigation(self.network.seed))
        digest = hashlib.sha256(content).hexdigest()[:12]
        return NavigationFile(f"Carla/Maps/Nav/{self.name}-{digest}.bin", content)

    @property
    def origin(self) -> tuple[float, float]:
        """Latitude and longitude of the map's zero, degrees."""
        found = _ORIGIN.search(self.network.opendrive)
        return (float(found[1]), float(found[2])) if found else (0.0, 0.0)


def load_town(name: str, *, drawn: bool = True, look: str = "A", antialiasing: bool = True) -> Town:
    """Build the town of a map's name, such as "MiniTown07"; takes seconds when it is drawn.

    Without `antialiasing` every pixel has one sample, as it also has in the labels.

    Raises:
        ActorError: no town has the name. ConfigError: there is no such look.
    """
    chosen = map_of(name)
    network = make_network(chosen.seed)
    if not drawn:
        return Town(chosen.name, network, None, Blank())
    # numba and the meshes cost seconds to import: only who draws pays for them
    from realmaster_live.minitown.models.town import build_town
    from realmaster_live.minitown.raster.look import look_named
    from realmaster_live.minitown.raster.rasteriser import Rasteriser

    drawing = look_named(look)
    scene = build_town(network)
    drawing = drawing if antialiasing else replace(drawing, samples=1)
    renderer = Rasteriser(scene, look=drawing)
    return Town(chosen.name, network, scene, renderer, environment_objects(scene))


def map_of(name: str) -> MapChoice:
    """Return the town of a map's name, with or without the folder before it.

    Raises:
        ActorError: no town has the name.
    """
    short = name.rsplit("/", 1)[-1]
    mini = MINI.fullmatch(short)
    if mini:
        return MapChoice(name=short, seed=int(mini[1]))
    seed = CARLA_TOWNS.get(short.removesuffix(OPTIMISED))
    if seed is None:
        raise ActorError(
            f"expected a map MiniTown00, MiniTown01, ... or one of CARLA's Town01 to Town15, got "
            f"{name[:80]!r}: load one of world.get_available_maps()"
        )
    return MapChoice(name=short, seed=seed)


def map_of_seed(seed: int) -> MapChoice:
    """Return our own town of a seed."""
    return MapChoice(name=f"MiniTown{seed:02d}", seed=seed)


def map_of_opendrive(text: str) -> MapChoice:
    """Return the town that an OpenDRIVE describes: the generator makes only its own.

    Raises:
        ActorError: it is no OpenDRIVE, or describes roads that the generator does not make.
    """
    if "<OpenDRIVE" not in text:
        got, remedy = classify_content(text[:ENOUGH].encode(errors="replace"))
        remedy = "send the text of an .xodr file" if got in (OTHER, EMPTY) else remedy
        got = "another kind of text" if got == OTHER else got
        raise ActorError(f"expected the text of an OpenDRIVE, got {got}: {remedy}")
    header = _HEADER.search(text[:HEADER_CHARACTERS])
    mini = MINI.fullmatch(header[1]) if header else None
    if mini and _content(make_network(int(mini[1])).opendrive) == _content(text):
        return map_of_seed(int(mini[1]))
    raise ActorError(
        "expected the OpenDRIVE of a town that minitown generates, got other roads, along which it "
        "cannot build: serve them by a full CARLA server, or load one of our towns"
    )


def _content(text: str) -> str:
    """Return XML without what editors and writers of XML change: its declaration and layout."""
    return _LAYOUT.sub("", text.removeprefix("\ufeff").strip()).replace(" />", "/>")


def map_of_file(path: Path) -> MapChoice:
    """Return the town that an OpenDRIVE file describes.

    Raises:
        ConfigError: the file cannot be read, or describes roads that the generator does not make.
    """
    text = read_text(path, what="OpenDRIVE", remedy="name another file", error=ConfigError)
    try:
        return map_of_opendrive(text)
    except ActorError as error:
        raise ConfigError(f"{path}: {error}") from error


def listed_maps(current: str) -> list[str]:
    """Return the names of the maps to choose from."""
    own = [f"MiniTown{number:02d}" for number in range(LISTED)]
    theirs = [name + suffix for name in CARLA_TOWNS for suffix in ("", OPTIMISED)]
    return [f"/Game/Carla/Maps/{name}" for name in sorted({*own, *theirs, current})]


async def load_in_thread(name: str, config: ServerConfig) -> Town:
    """Build a town as the server's configuration has it, while the event loop goes on."""
    town = await asyncio.to_thread(
        load_town,
        name,
        drawn=config.raster,
        look=config.look,
        antialiasing=config.antialiasing,
    )
    return replace(town, renderer=Remembering(town.renderer)) if config.loop else town
