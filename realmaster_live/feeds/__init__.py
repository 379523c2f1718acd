"""Realized pictures back to whoever listens to a camera: one mechanism behind every way in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from realmaster_live.lazy import lazy_names

if TYPE_CHECKING:
    from realmaster_live.feeds.choice import CameraChoice
    from realmaster_live.feeds.feed import Arrival, CameraFeed
    from realmaster_live.feeds.figures import FeedFigures
    from realmaster_live.feeds.one_frame import OneFrameEngine
    from realmaster_live.feeds.shared_engines import SharedEngines

_HOMES = {
    "Arrival": "realmaster_live.feeds.feed",
    "CameraChoice": "realmaster_live.feeds.choice",
    "CameraFeed": "realmaster_live.feeds.feed",
    "FeedFigures": "realmaster_live.feeds.figures",
    "OneFrameEngine": "realmaster_live.feeds.one_frame",
    "SharedEngines": "realmaster_live.feeds.shared_engines",
}
__all__ = [
    "Arrival",
    "CameraChoice",
    "CameraFeed",
    "FeedFigures",
    "OneFrameEngine",
    "SharedEngines",
]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
