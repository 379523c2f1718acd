"""The whole chain on one machine: demo, benchmark, report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from realmaster_live.lazy import lazy_names

if TYPE_CHECKING:
    from realmaster_live.demo.bench import run_bench
    from realmaster_live.demo.demo import run_demo
    from realmaster_live.demo.local_town import local_game
    from realmaster_live.demo.report import Report
    from realmaster_live.demo.settings import Bench, Demo

_HOMES = {
    "Bench": "realmaster_live.demo.settings",
    "Demo": "realmaster_live.demo.settings",
    "Report": "realmaster_live.demo.report",
    "local_game": "realmaster_live.demo.local_town",
    "run_bench": "realmaster_live.demo.bench",
    "run_demo": "realmaster_live.demo.demo",
}
__all__ = [
    "Bench",
    "Demo",
    "Report",
    "local_game",
    "run_bench",
    "run_demo",
]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
