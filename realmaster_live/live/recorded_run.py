"""A run as the command line makes it: with a bar, its figures, and a description to record."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from realmaster_live.live.pipeline import run
from realmaster_live.live.progress import RunProgress, show_stats
from realmaster_live.live.queue import Policy
from realmaster_live.live.stats import Stats
from realmaster_live.protocols import Engine, Sink, Source
from realmaster_live.recording import About


def about_run(
    engine_name: str,
    engine: Engine,
    source: Mapping[str, Any],
    *,
    policy: Policy,
    seed: int | None = None,
) -> About:
    """Return what a recording of this run should remember."""
    return About(
        engine=engine_name,
        engine_sha256=engine_sha256(engine),
        source=source,
        policy=policy,
        seed=seed,
        engine_licence=str(getattr(engine, "manifest", {}).get("licence", "")),
    )


def engine_sha256(engine: Engine) -> str:
    """Return one hash over all files that the engine was loaded from, "" when it has none."""
    files = getattr(engine, "manifest", {}).get("files")
    if not files:
        return ""
    return hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()


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
    """Run the loop behind a bar; the figures are printed on every way out, unless `quiet`."""
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
