"""Puts metrics, logs and traces around the engines and sinks of a run."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from realmaster_live.live.stats import Stats
from realmaster_live.protocols import PromptedEngine, Sink
from realmaster_live.sinks.opening import say_on_stderr

if TYPE_CHECKING:
    from realmaster_live.telemetry.logs import RunLog
    from realmaster_live.telemetry.metrics import RunMetrics
    from realmaster_live.telemetry.traces import ChunkTraces


log = logging.getLogger(__name__)


class Observer:
    """What observes a run; without anything added it changes nothing and costs nothing."""

    def __init__(self) -> None:
        self._log: RunLog | None = None
        self._metrics: RunMetrics | None = None
        self._traces: ChunkTraces | None = None

    @property
    def is_logging(self) -> bool:
        """Whether the standard error belongs to the log."""
        return self._log is not None

    def say(self, line: str) -> None:
        """Tell people a line, or the log where there is one."""
        (log.info if self.is_logging else say_on_stderr)(line)

    def add(
        self,
        *,
        log: RunLog | None = None,
        metrics: RunMetrics | None = None,
        traces: ChunkTraces | None = None,
    ) -> None:
        """Observe with these as well."""
        self._log = log or self._log
        self._metrics = metrics or self._metrics
        self._traces = traces or self._traces

    def engine(self, engine: PromptedEngine) -> PromptedEngine:
        """Return an engine whose chunks are traced."""
        return engine if self._traces is None else self._traces.engine(engine)

    def sinks(self, sinks: Sequence[Sink]) -> list[Sink]:
        """Return the sinks of a run as they are observed; the ends of traces come last."""
        observed = list(sinks)
        if self._metrics is not None:
            self._metrics.watch(sinks)
            observed.append(self._metrics)
        if self._traces is not None:
            observed = [self._traces.sink(one) for one in observed]
            observed.append(self._traces)
        return observed

    def progress(self, *further: Callable[[Stats], None]) -> Callable[[Stats], None]:
        """Return an `on_progress` for metrics, log and others."""

        def update(stats: Stats) -> None:
            for one in (self._metrics, self._log):
                if one is not None:
                    one.update(stats)
            for each in further:
                each(stats)

        return update
