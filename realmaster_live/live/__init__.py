"""The live loop: capture, chunks, engine, delivery, figures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from realmaster_live.lazy import lazy_names

if TYPE_CHECKING:
    from realmaster_live.live.chunker import Chunker
    from realmaster_live.live.pipeline import run
    from realmaster_live.live.queue import BoundedQueue
    from realmaster_live.live.rig_chunker import RigChunker
    from realmaster_live.live.stats import Latency, Stats

_HOMES = {
    "BoundedQueue": "realmaster_live.live.queue",
    "Chunker": "realmaster_live.live.chunker",
    "Latency": "realmaster_live.live.stats",
    "RigChunker": "realmaster_live.live.rig_chunker",
    "Stats": "realmaster_live.live.stats",
    "run": "realmaster_live.live.pipeline",
}
__all__ = [
    "BoundedQueue",
    "Chunker",
    "Latency",
    "RigChunker",
    "Stats",
    "run",
]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
