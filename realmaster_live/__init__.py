"""Makes the cameras of a running driving simulator photoreal, live, and keeps every label."""

from __future__ import annotations

from typing import TYPE_CHECKING

from realmaster_live.lazy import lazy_names
from realmaster_live.moved import follow_moves

if TYPE_CHECKING:
    import realmaster_live.datasets as datasets  # noqa: F401
    from realmaster_live.bridges.carla.bridge import CarlaBridge
    from realmaster_live.bridges.gtav.bridge import GtavBridge
    from realmaster_live.engines.load import load_engine
    from realmaster_live.errors import RealMasterError
    from realmaster_live.frames.chunk import Chunk, ChunkSpec, Frame
    from realmaster_live.frames.source_info import SourceInfo
    from realmaster_live.live.pipeline import run
    from realmaster_live.live.realize import realize
    from realmaster_live.live.stats import Stats
    from realmaster_live.recording.playback import Recording
    from realmaster_live.recording.recorder import Recorder
    from realmaster_live.sinks.opening import open_sink
    from realmaster_live.sinks.video import SideBySideVideo
    from realmaster_live.sinks.viewer.live_view import LiveView

_HOMES = {
    "CarlaBridge": "realmaster_live.bridges.carla.bridge",
    "Chunk": "realmaster_live.frames.chunk",
    "ChunkSpec": "realmaster_live.frames.chunk",
    "Frame": "realmaster_live.frames.chunk",
    "GtavBridge": "realmaster_live.bridges.gtav.bridge",
    "LiveView": "realmaster_live.sinks.viewer.live_view",
    "RealMasterError": "realmaster_live.errors",
    "Recorder": "realmaster_live.recording.recorder",
    "Recording": "realmaster_live.recording.playback",
    "SideBySideVideo": "realmaster_live.sinks.video",
    "SourceInfo": "realmaster_live.frames.source_info",
    "Stats": "realmaster_live.live.stats",
    "load_engine": "realmaster_live.engines.load",
    "open_sink": "realmaster_live.sinks.opening",
    "realize": "realmaster_live.live.realize",
    "run": "realmaster_live.live.pipeline",
}
__all__ = [
    "CarlaBridge",
    "Chunk",
    "ChunkSpec",
    "Frame",
    "GtavBridge",
    "LiveView",
    "RealMasterError",
    "Recorder",
    "Recording",
    "SideBySideVideo",
    "SourceInfo",
    "Stats",
    "load_engine",
    "open_sink",
    "realize",
    "run",
]

__getattr__, __dir__ = lazy_names(__name__, _HOMES, modules=("datasets",))
follow_moves()
