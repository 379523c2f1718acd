"""Driving footage as it lies on a disk or in a simulator's log, realized again in batches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from realmaster_live.lazy import lazy_names

if TYPE_CHECKING:
    from realmaster_live.replay.footage import Footage, Reading
    from realmaster_live.replay.kinds import find_footage, open_footage

_HOMES = {
    "Footage": "realmaster_live.replay.footage",
    "Reading": "realmaster_live.replay.footage",
    "find_footage": "realmaster_live.replay.kinds",
    "open_footage": "realmaster_live.replay.kinds",
}
__all__ = [
    "Footage",
    "Reading",
    "find_footage",
    "open_footage",
]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
