"""GTA-V through a capture harness: live, over a relay, or from recordings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from realmaster_live.lazy import lazy_names

if TYPE_CHECKING:
    from realmaster_live.bridges.gtav.bridge import GtavBridge

_HOMES = {
    "GtavBridge": "realmaster_live.bridges.gtav.bridge",
}
__all__ = [
    "GtavBridge",
]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
