"""Structured logs: one JSON object a line, which log collectors read without a pattern.

Every line has `time` (UTC, ISO 8601), `level`, `logger`, `thread` and `message`; further keys are
those of the record's `extra`, such as a run's figures, and `exception`.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Self

from realmaster_live.live.stats import Stats

log = logging.getLogger(__name__)

EVERY_S = 10.0  # between the figures of a run
STANDARD = logging.LogRecord("", 0, "", 0, "", (), None).__dict__.keys() | {"message", "taskName"}


class JsonFormatter(logging.Formatter):
    """Formats a record as one line of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        content: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "thread": record.threadName,
            "message": record.getMessage(),
        }
        content |= {key: one for key, one in vars(record).items() if key not in STANDARD}
        if record.exc_info:
            content["exception"] = self.formatException(record.exc_info)
        return json.dumps(content, default=str, ensure_ascii=False)


@contextmanager
def log_as_json() -> Iterator[None]:
    """Log everything to the standard error as JSON: warnings, and this package's notes too."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    root, own = logging.getLogger(), logging.getLogger("realmaster_live")
    before, level = root.handlers[:], own.level
    root.handlers[:] = [handler]
    own.setLevel(logging.INFO)
    try:
        yield
    finally:
        root.handlers[:] = before
        own.setLevel(level)


class RunLog:
    """Logs a run's figures every EVERY_S seconds and at its end, for its `on_progress`."""

    def __init__(self) -> None:
        self._stats = Stats()
        self._logged_at = time.monotonic()

    def __enter__(self) -> Self:
        log.info("run began")
        return self

    def __exit__(self, *exception: object) -> None:
        log.info("run ended", extra=_figures(self._stats))

    def update(self, stats: Stats) -> None:
        """Note the figures, and log them where it is time."""
        self._stats = stats
        now = time.monotonic()
        if now - self._logged_at > EVERY_S:
            self._logged_at = now
            log.info("run goes on", extra=_figures(stats))


def _figures(stats: Stats) -> dict[str, Any]:
    counts = {
        name: getattr(stats, name)
        for name in (
            "captured",
            "realized",
            "lost_frames",
            "dropped_frames",
            "unfinished_frames",
            "resets",
        )
    }
    latencies = {
        f"{stage}_p99_ms": round(one.p99, 2) for stage, one in stats.latency_ms.items() if one.count
    }
    return {**counts, "fps": round(stats.fps, 2), **latencies}
