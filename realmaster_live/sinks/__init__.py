"""Where realized chunks go besides a recording: one module a kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from realmaster_live.lazy import lazy_names

if TYPE_CHECKING:
    from realmaster_live.sinks.video import SideBySideVideo
    from realmaster_live.sinks.view import LiveView

_HOMES = {
    "LiveView": "realmaster_live.sinks.view",
    "SideBySideVideo": "realmaster_live.sinks.video",
}
__all__ = [
    "LiveView",
    "SideBySideVideo",
]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
