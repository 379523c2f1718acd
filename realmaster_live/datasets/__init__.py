"""Exports of recordings as data sets for training: one module for each format."""

from __future__ import annotations

from typing import TYPE_CHECKING

from realmaster_live.lazy import lazy_names

if TYPE_CHECKING:
    from realmaster_live.datasets.options import Rules, SplitRule
    from realmaster_live.datasets.selection import Selection
    from realmaster_live.datasets.summary import Summary

_HOMES = {
    "Rules": "realmaster_live.datasets.options",
    "Selection": "realmaster_live.datasets.selection",
    "SplitRule": "realmaster_live.datasets.options",
    "Summary": "realmaster_live.datasets.summary",
}
__all__ = ["Rules", "Selection", "SplitRule", "Summary"]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
