"""Logs as JSON: a line a record, whole records, and the handlers from before afterwards."""

import json
import logging

from realmaster_live.live.stats import Latency, Stats
from realmaster_live.telemetry import logs
from realmaster_live.telemetry.logs import RunLog, log_as_json


def lines(capsys):
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_every_record_is_a_line(capsys):
    own, other = logging.getLogger("realmaster_live.x"), logging.getLogger("elsewhere")
    before, level = logging.getLogger().handlers[:], logging.getLogger("realmaster_live").level
    with log_as_json():
        own.info("two\nlines, %d%%", 5, extra={"camera": "front", "path": logs.EVERY_S})
        other.info("nobody's business")
        try:
            raise ValueError("bad")
        except ValueError:
            other.exception("failed")
    assert logging.getLogger().handlers == before
    assert logging.getLogger("realmaster_live").level == level
    first, second = lines(capsys)
    assert first["message"] == "two\nlines, 5%" and first["level"] == "info"
    assert first["camera"] == "front" and first["path"] == 10.0
    assert first["logger"] == "realmaster_live.x" and first["thread"] == "MainThread"
    assert first["time"].endswith("+00:00")
    assert second["level"] == "error" and "ValueError: bad" in second["exception"]
    assert set(second) == {"time", "level", "logger", "thread", "message", "exception"}


def test_a_runs_figures_are_logged(capsys, monkeypatch):
    monkeypatch.setattr(logs, "EVERY_S", 0.0)
    stage = Latency(p50=1.0, p95=2.0, p99=3.0, count=4)
    stats = Stats(captured=9, realized=8, wall_s=4.0, latency_ms={"engine": stage})
    with log_as_json(), RunLog() as log:
        log.update(stats)
    began, goes_on, ended = lines(capsys)
    assert [one["message"] for one in (began, goes_on, ended)] == [
        "run began", "run goes on", "run ended",
    ]  # fmt: skip
    assert ended["captured"] == 9 and ended["fps"] == 2.0 and ended["engine_p99_ms"] == 3.0
