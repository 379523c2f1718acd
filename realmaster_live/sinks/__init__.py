"""Where realized chunks go besides a recording: one module a kind."""

from __future__ import annotations

from typing import TYPE_CHECKING

from realmaster_live.lazy import lazy_names

if TYPE_CHECKING:
    from realmaster_live.sinks.background import BackgroundSink, SinkFigures
    from realmaster_live.sinks.opening import open_sink
    from realmaster_live.sinks.video import SideBySideVideo
    from realmaster_live.sinks.viewer.live_view import LiveView

_HOMES = {
    "BackgroundSink": "realmaster_live.sinks.background",
    "LiveView": "realmaster_live.sinks.viewer.live_view",
    "SideBySideVideo": "realmaster_live.sinks.video",
    "SinkFigures": "realmaster_live.sinks.background",
    "open_sink": "realmaster_live.sinks.opening",
}
__all__ = [
    "BackgroundSink",
    "LiveView",
    "SideBySideVideo",
    "SinkFigures",
    "open_sink",
]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
