import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(out, *options):
    script = ROOT / "benchmarks" / "gpu" / "engines.py"
    command = [sys.executable, str(script), "--device", "cpu", "--profiles", "tiny"]
    done = subprocess.run(
        [*command, "--out", str(out), "--chunks", "2", *options],
        check=False, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads((out / "engines.json").read_text()), (out / "engines.md").read_text()


@pytest.mark.slow
def test_times_what_fits_into_the_time_and_says_what_is_left(tmp_path):
    data, table = run(tmp_path, "--modes", "graphs,eager")
    rows = [row for row in data["rows"] if row["profile"] == "tiny"]
    timed = [row for row in rows if row.get("reference") == "cached"]
    assert {(row["mode"], row["steps"]) for row in timed} >= {("graphs", 2), ("eager", 2)}
    assert all(row["chunk_ms"] > 0 and row["fps"] > 0 for row in timed)
    assert [row["passed"] for row in rows if row["mode"].startswith("parity")] == [True, True]
    assert {row["mode"] for row in data["rows"] if row["profile"] == "-"} == {
        "onnxruntime",
        "tensorrt",
    }
    assert table.count("\n| ") == len(data["rows"]) + 2


@pytest.mark.slow
def test_a_variant_that_fails_is_a_row(tmp_path):
    data, _ = run(tmp_path, "--modes", "eager", "--sizes", "100x64")
    failed = [row for row in data["rows"] if row.get("mode") == "eager"]
    assert failed
    assert all("multiples of 32, got 100x64" in row["note"] for row in failed)


def test_the_limit_ends_it(tmp_path):
    data, _ = run(tmp_path, "--limit-s", "0.01")
    assert "time limit of 0.01 s" in data["rows"][-1]["note"]
