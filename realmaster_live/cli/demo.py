"""`realmaster demo`: everything embedded, on any machine."""

from __future__ import annotations

from realmaster_live.demo.settings import Demo

__all__ = ["Demo", "run"]


def run(options: Demo) -> int:
    """Drive, realize, and leave the film, the report and the recording."""
    from realmaster_live.demo.demo import run_demo

    run_demo(options)
    return 0
