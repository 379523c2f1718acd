"""A run behind a progress bar, with its figures at the end: what the commands show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from realmaster_live.live.pipeline import run
from realmaster_live.live.progress import RunProgress, show_stats
from realmaster_live.live.queue import Policy
from realmaster_live.live.stats import Stats
from realmaster_live.protocols import Engine, Sink, Source


def run_with_progress(
    title: str,
    source: Source,
    engine: Engine | Mapping[str, Engine],
    sinks: Sequence[Sink],
    *,
    policy: Policy = "block",
    max_frames: int | None = None,
    seconds: float | None = None,
    resize: bool = False,
    quiet: bool = False,
) -> Stats:
    """Run the loop with a progress bar; print the figures however it ends, unless `quiet`."""
    if max_frames is None and seconds is not None:
        engines = list(engine.values()) if isinstance(engine, Mapping) else [engine]
        total: int | None = round(seconds * engines[0].spec.fps) * len(engines)
    else:
        total = max_frames
    with RunProgress(title, total) as bar:
        try:
            return run(
                source,
                engine,
                sinks,
                policy=policy,
                max_frames=max_frames,
                seconds=seconds,
                on_progress=bar.update,
                resize=resize,
            )
        finally:
            if bar.stats.captured and not quiet:
                show_stats(bar.stats)
