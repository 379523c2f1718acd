"""CARLA: frames out of a running world, and realized pictures back into a user's cameras."""

from __future__ import annotations

from typing import TYPE_CHECKING

from realmaster_live.lazy import lazy_names

if TYPE_CHECKING:
    from realmaster_live.bridges.carla.bridge import CarlaBridge
    from realmaster_live.bridges.carla.realized_camera import RealizedCamera

_HOMES = {
    "CarlaBridge": "realmaster_live.bridges.carla.bridge",
    "RealizedCamera": "realmaster_live.bridges.carla.realized_camera",
}
__all__ = [
    "CarlaBridge",
    "RealizedCamera",
]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
