"""Progress of a run on a terminal: a bar while it lasts, its figures at the end."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import nullcontext
from typing import Any, Self

from realmaster_live.live.pipeline import run
from realmaster_live.live.queue import Policy
from realmaster_live.live.stats import STAGES, Stats
from realmaster_live.optional import require
from realmaster_live.protocols import Engine, Sink, Source

rich_console = require("rich.console", extra="live")
rich_progress = require("rich.progress", extra="live")
rich_table = require("rich.table", extra="live")
rich_text = require("rich.text", extra="live")

LINE_S = 60.0


def console(*, stderr: bool = False) -> Any:
    """Return a rich Console; figures go to stdout, everything that moves to stderr.

    It prints text as it is: names may hold what looks like markup or an emoji's code.
    """
    return rich_console.Console(stderr=stderr, highlight=False, markup=False, emoji=False)


class RunProgress:
    """A bar for `pipeline.run(on_progress=bar.update)`; remembers the last Stats it was given.

    Args:
        title: what is being done.
        total: frames to come, None when nobody knows.
    """

    def __init__(self, title: str, total: int | None) -> None:
        self.stats = Stats()
        self._progress = rich_progress.Progress(
            rich_progress.TextColumn("{task.description}", markup=False),
            rich_progress.BarColumn(bar_width=32),
            rich_progress.TextColumn("{task.fields[figures]}", markup=False),
            rich_progress.TimeElapsedColumn(),
            console=console(stderr=True),
        )
        self._task = self._progress.add_task(title, total=total, figures="waiting for a frame")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._progress.stop()

    def update(self, stats: Stats) -> None:
        """Show `stats`."""
        self.stats = stats
        delay = stats.latency_ms["end_to_end"].p50
        figures = f"{stats.realized} frames  {stats.fps:.1f}/s  {delay:.0f} ms"
        if stats.lost_frames or stats.dropped_frames:
            figures += f"  {stats.lost_frames} lost  {stats.dropped_frames} dropped"
        self._progress.update(self._task, completed=stats.realized, figures=figures)


class CountProgress:
    """A bar for things that are counted; a line a minute where nobody looks at a terminal."""

    def __init__(self, title: str, total: int) -> None:
        self._title, self._total = title, total
        out = console(stderr=True)
        self._terminal, self._reported_s = out.is_terminal, time.monotonic()
        self._progress = rich_progress.Progress(
            rich_progress.TextColumn("{task.description}", markup=False),
            rich_progress.BarColumn(bar_width=32),
            rich_progress.TextColumn("{task.completed} of {task.total}{task.fields[figures]}"),
            rich_progress.TimeElapsedColumn(),
            console=out,
            transient=True,
            disable=not self._terminal,
        )
        self._task = self._progress.add_task(title, total=total, figures="")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._progress.stop()

    def update(self, completed: int, figures: str = "") -> None:
        """Show how many there are, with more figures beside."""
        figures = figures and f"  {figures}"
        self._progress.update(self._task, completed=completed, figures=figures)
        if not self._terminal and time.monotonic() - self._reported_s > LINE_S:
            self._reported_s = time.monotonic()
            sys.stderr.write(f"{self._title}: {completed} of {self._total}{figures}\n")


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
    on_progress: Callable[[Stats], None] | None = None,
    show: bool = True,
    spare: Collection[str] = (),
) -> Stats:
    """Run the loop behind a bar; print the figures however it ends, unless `quiet`.

    `on_progress` is called too; without `show` there is no bar.
    """
    if max_frames is None and seconds is not None:
        engines = list(engine.values()) if isinstance(engine, Mapping) else [engine]
        total: int | None = round(seconds * engines[0].spec.fps) * len(engines)
    else:
        total = max_frames
    bar = RunProgress(title, total)

    def update(stats: Stats) -> None:
        bar.update(stats)
        if on_progress is not None:
            on_progress(stats)

    with bar if show else nullcontext():
        try:
            return run(
                source,
                engine,
                sinks,
                policy=policy,
                max_frames=max_frames,
                seconds=seconds,
                on_progress=update,
                resize=resize,
                spare=spare,
            )
        finally:
            if bar.stats.captured and not quiet:
                show_stats(bar.stats)


def tracked(items: Iterable[Any], title: str, total: int | None = None) -> Iterable[Any]:
    """Yield `items` with a bar."""
    tracking: Iterable[Any] = rich_progress.track(
        items, title, total=total, console=console(stderr=True), transient=True
    )
    return tracking


def show_stats(stats: Stats, title: str = "") -> None:
    """Print the statistics of a run."""
    out = console()
    lost = f"{stats.lost_frames} lost by the source, {stats.dropped_frames} dropped"
    if stats.dropped_chunks:
        lost += f" (in {stats.dropped_chunks} chunks that were overtaken)"
    if stats.unfinished_frames:
        lost += f", {stats.unfinished_frames} unfinished when it ended"
    out.print(
        f"{title + ': ' if title else ''}{stats.captured} frames captured, {stats.realized} "
        f"realized, {lost}; {stats.fps:.1f} frames/s over {stats.wall_s:.1f} s",
        soft_wrap=True,
    )
    table = rich_table.Table("stage", "p50 ms", "p95 ms", "p99 ms", "", box=None, pad_edge=False)
    for column in table.columns[1:4]:
        column.justify = "right"
    for stage, meaning in STAGES.items():
        latency = stats.latency_ms.get(stage)
        if latency is not None and latency.count:
            figures = (f"{value:.1f}" for value in (latency.p50, latency.p95, latency.p99))
            table.add_row(stage.replace("_", " "), *figures, rich_text.Text(meaning, "dim"))
    out.print(table)
