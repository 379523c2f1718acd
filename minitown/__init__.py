"""minitown: a small town behind CARLA's own wire protocol, with a second, path-traced look."""

from __future__ import annotations

from typing import TYPE_CHECKING

from realmaster_live.lazy import lazy_names

if TYPE_CHECKING:
    from realmaster_live.minitown.models.town import build_town
    from realmaster_live.minitown.plan.network import make_network
    from realmaster_live.minitown.server.towns import load_town

_HOMES = {
    "build_town": "realmaster_live.minitown.models.town",
    "load_town": "realmaster_live.minitown.server.towns",
    "make_network": "realmaster_live.minitown.plan.network",
}
__all__ = [
    "build_town",
    "load_town",
    "make_network",
]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
