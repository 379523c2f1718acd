"""Sinks that write files, on a disk that takes no more: the limit of a process on its files."""

import subprocess
import sys

import pytest
from installed import needs

PROGRAM = """
import resource, sys
from sink_drive import drive
import realmaster_live as rm

url, limit = sys.argv[1], int(sys.argv[2])
sink = rm.open_sink(url)
with sink:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    drive(sink, chunks=12)
print(sink.figures)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
@pytest.mark.parametrize(
    "url",
    [
        pytest.param("mcap:{}/a.mcap", marks=needs("foxglove")),
        pytest.param("rosbag:{}/bag", marks=needs("rosbags")),
        # slow: now and then Rerun's SDK keeps a program from ending whose disk was full
        pytest.param("rerun:{}/a.rrd", marks=[needs("rerun"), pytest.mark.slow]),
    ],
)
def test_frames_that_are_not_in_the_file_are_counted_and_named_once(url, tmp_path):
    url, limit = url.format(tmp_path), 60_000
    paths = [path for path in sys.path if path]
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path[:0] = {paths!r}\n{PROGRAM}", url, str(limit)],
        capture_output=True,
        text=True,
        timeout=150,
    )
    assert done.returncode == 0, done.stderr
    written = int(done.stdout.split(": ")[1].split()[0])
    failed = int(done.stdout.split(" failed (")[0].split()[-1])
    assert written + failed == 48 and 0 < written < 48
    assert "RecordingError: expected to write" in done.stdout
    assert "free some disk space or record elsewhere" in done.stdout
    assert done.stderr.count("failed and goes on") == 1
