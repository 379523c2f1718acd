"""Exports of recordings as data sets for training: one module for each format."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from realmaster_live.datasets.rules import Rules
    from realmaster_live.datasets.selection import Selection
    from realmaster_live.datasets.splits import SplitRule
    from realmaster_live.datasets.summary import Summary

__all__ = ["Rules", "Selection", "SplitRule", "Summary"]
_MODULES = {"Rules": "rules", "Selection": "selection", "SplitRule": "splits", "Summary": "summary"}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: the table of formats alone costs nothing."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    """Return the public names."""
    return sorted(__all__)
