"""Rerun's file, read back, and viewers that are and are not there."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from driven_scene import driven_chunk
from installed import needs
from sink_drive import drive, run_info
from waiting import until

import realmaster_live as rm
from realmaster_live.errors import ConfigError, RecordingError

pytestmark = needs("rerun")
NOISE = np.random.default_rng(0).integers(0, 256, (4, 288, 512, 3), np.uint8)  # fills buffers soon


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def test_the_file_holds_the_drive(tmp_path):
    path = tmp_path / "drives/live.rrd"
    sink = rm.open_sink(f"rerun:{path}")
    drive(sink, cameras=("front", "back"), trust=0.8)
    assert str(sink.figures) == f"rerun:{path}: 40 frames, 0 dropped"
    done = subprocess.run(
        [sys.executable, "-m", "rerun", "rrd", "print", "-vvv", str(path)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    for entity in ("/world/front/real", "/world/back/sim", "/world/things", "/trust/front"):
        assert entity in done.stdout
    for word in ("EncodedImage", "Pinhole", "Transform3D", "Boxes3D", "simulated", "frame"):
        assert word in done.stdout
    verify = [sys.executable, "-m", "rerun", "rrd", "verify", str(path)]
    assert subprocess.run(verify, capture_output=True).returncode == 0


def test_a_file_that_exists_stays(tmp_path):
    (tmp_path / "a.rrd").write_text("mine")
    with pytest.raises(RecordingError, match="choose another name"):
        drive(rm.open_sink(f"rerun:{tmp_path}/a.rrd"))
    assert (tmp_path / "a.rrd").read_text() == "mine"


def test_no_viewer_is_one_sentence():
    with pytest.raises(ConfigError, match="expected a Rerun viewer at"):
        drive(rm.open_sink(f"rerun:127.0.0.1:{free_port()}"))


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such signals")
def test_a_viewer_that_stands_still_is_given_no_more_until_it_goes_on(monkeypatch):
    from realmaster_live.sinks import rerun

    monkeypatch.setattr(rerun, "STALL_S", 0.5)
    port = free_port()
    command = [sys.executable, "-m", "rerun", "--serve-grpc", "--bind", "127.0.0.1"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "start_new_session": True}
    viewer = subprocess.Popen([*command, "--port", str(port)], **quiet)
    sink = rerun.RerunSink(address=("127.0.0.1", port))
    try:
        until(lambda: rerun._is_viewer(("127.0.0.1", port)), "the viewer does not start")
        sink.open()
        sink.begin(run_info())
        chunk = driven_chunk(0, size=(512, 288))
        chunk = replace(chunk, frames=NOISE, rendered=NOISE)
        sink.write(chunk)
        os.killpg(viewer.pid, signal.SIGSTOP)
        refused, logged = 0, []
        monkeypatch.setattr(sink, "_log_camera", logged.append)
        while refused < 4:  # what the system's buffers take counts as taken
            refused += not _takes(sink, chunk)
        before = len(logged)
        with pytest.raises(ConfigError, match=r"expected a Rerun viewer that takes a chunk within"):
            sink.write(chunk)
        assert len(logged) == before  # the SDK was not given it
        os.killpg(viewer.pid, signal.SIGCONT)
        until(lambda: _takes(sink, chunk), "the viewer takes nothing")
        assert len(logged) > before
        sink.close()
    finally:
        os.killpg(viewer.pid, signal.SIGKILL)
        viewer.wait()


def _takes(sink, chunk):
    with contextlib.suppress(ConfigError):
        sink.write(chunk)
        return True
    return False


def test_a_page_is_served_to_this_machine_and_ends_with_the_sink():
    from realmaster_live.sinks.rerun import RerunSink

    sink = RerunSink(viewer="browser", ports=(free_port(), free_port()))
    sink.open()
    with contextlib.closing(sink):
        with urllib.request.urlopen(sink.url, timeout=60) as page:
            assert b"<title>Rerun" in page.read()
        import psutil

        process = psutil.Process(sink._process.pid)
        family = [process, *process.children(recursive=True)]
        hosts = Counter(
            one.laddr.ip for member in family for one in member.net_connections() if not one.raddr
        )
        assert set(hosts) == {"127.0.0.1"}
        other = RerunSink(viewer="browser", ports=sink._ports)
        with pytest.raises(ConfigError, match="free for Rerun's viewer"):
            other.open()
        sink.begin(run_info())
    assert sink._process.poll() is not None
    _, alive = psutil.wait_procs(family, timeout=60)
    assert not alive


def test_a_server_that_is_no_viewer_or_says_nothing_is_one_sentence(monkeypatch):
    from realmaster_live.sinks import rerun

    monkeypatch.setattr(rerun, "ANSWER_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"rerun:127.0.0.1:{silent.getsockname()[1]}"
        with pytest.raises(ConfigError, match=r"expected a Rerun viewer at .*, got none"):
            drive(rm.open_sink(url))
