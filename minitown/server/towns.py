"""Towns by name: what a server needs of one, ready to be drawn."""

from __future__ import annotations

import re
from dataclasses import dataclass

from realmaster_live.errors import ConfigError
from realmaster_live.minitown.plan.network import make_network
from realmaster_live.minitown.plan.roads import RoadNetwork
from realmaster_live.minitown.scene import StaticScene
from realmaster_live.minitown.server.cameras import Blank, Renderer

LISTED = 10  # towns that a client's get_available_maps shows; any other number loads as well
_NAME = re.compile(r"(?:.*/)?MiniTown(\d{1,6})$")
_ORIGIN = re.compile(r"\+lat_0=([-\d.]+)\s+\+lon_0=([-\d.]+)")


@dataclass(frozen=True)
class Town:
    """A town: its roads, its meshes (None when nothing is drawn), and what draws it."""

    network: RoadNetwork
    scene: StaticScene | None
    renderer: Renderer

    @property
    def map_name(self) -> str:
        """The name that CARLA's map has."""
        return f"Carla/Maps/{self.network.name}"

    @property
    def origin(self) -> tuple[float, float]:
        """Latitude and longitude of the map's zero, degrees."""
        found = _ORIGIN.search(self.network.opendrive)
        return (float(found[1]), float(found[2])) if found else (0.0, 0.0)


def load_town(seed: int, *, drawn: bool = True, look: str = "A") -> Town:
    """Build a town by its number; takes seconds when it is drawn.

    Raises:
        ConfigError: there is no such look.
    """
    network = make_network(seed)
    if not drawn:
        return Town(network, None, Blank())
    # numba and the meshes cost seconds to import: only who draws pays for them
    from realmaster_live.minitown.models.town import build_town
    from realmaster_live.minitown.raster.look import LOOKS
    from realmaster_live.minitown.raster.rasteriser import Rasteriser

    if look not in LOOKS:
        raise ConfigError(f"expected a look of {', '.join(LOOKS)}, got {look!r}: choose one")
    scene = build_town(network)
    return Town(network, scene, Rasteriser(scene, look=LOOKS[look]))


def town_number(name: str) -> int | None:
    """Return the number in a map's name, None when it names no town of ours."""
    found = _NAME.match(name)
    return int(found[1]) if found else None


def listed_maps(current: int) -> list[str]:
    """Return the names of the maps to choose from."""
    numbers = sorted({*range(LISTED), current})
    return [f"/Game/Carla/Maps/MiniTown{number:02d}" for number in numbers]
