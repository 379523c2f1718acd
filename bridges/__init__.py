"""Bridges to simulators: what captures frames and, where it can, takes realized ones back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from realmaster_live.lazy import lazy_names

if TYPE_CHECKING:
    from realmaster_live.bridges.carla.bridge import CarlaBridge
    from realmaster_live.bridges.gtav.bridge import GtavBridge

_HOMES = {
    "CarlaBridge": "realmaster_live.bridges.carla.bridge",
    "GtavBridge": "realmaster_live.bridges.gtav.bridge",
}
__all__ = [
    "CarlaBridge",
    "GtavBridge",
]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
