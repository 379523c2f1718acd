"""Recordings as datasets in the formats of those who train on them: one module a format."""

from realmaster_live.datasets.rules import Rules
from realmaster_live.datasets.selection import Selection
from realmaster_live.datasets.splits import SplitRule
from realmaster_live.datasets.summary import Summary

__all__ = ["Rules", "Selection", "SplitRule", "Summary"]
