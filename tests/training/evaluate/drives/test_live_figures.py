"""Figures of the run that made a recording, against values by hand."""

from types import SimpleNamespace

import numpy as np
import pytest

from realmaster_live.training.evaluate.drives.live_figures import live_values


def recording(ages, captured, dropped, memory=2048):
    rows = {"age_s": ages, "captured_at": captured, "dropped_before": dropped}
    meta = SimpleNamespace(host={"peak_memory_mib": memory})
    return SimpleNamespace(table=lambda name, camera: rows, meta=meta)


def test_rates_latencies_and_losses():
    ages = np.linspace(0.1, 0.2, 101)
    dropped = np.zeros(101, int)
    dropped[50] = 9
    found = live_values(recording(ages, np.arange(101) * 0.05, dropped), "front")
    values = {name: each.value for name, each in found.items()}
    assert values == pytest.approx(
        {
            "frames a second": 20, "latency p50": 0.15, "latency p95": 0.195, "latency p99": 0.199,
            "lost frames": 9 / 110, "peak memory": 2,
        }
    )  # fmt: skip
    low, high = found["latency p50"].interval
    assert 0.1 < low < 0.11 and 0.19 < high < 0.2, "it rose from tenth to tenth of the drive"


def test_what_was_not_recorded_live_has_none():
    assert live_values(recording(np.ones(101), np.zeros(101), np.zeros(101, int)), "front") == {}
    few = live_values(recording(np.ones(5), np.arange(5), np.zeros(5, int)), "front")
    assert few == {}
    without = recording(np.ones(30), np.arange(30), np.zeros(30, int), memory=None)
    assert "peak memory" not in live_values(without, "front")
