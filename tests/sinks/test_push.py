"""Pushed streams, taken by a server in another process."""

import json
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from driven_scene import SIZE, driven_chunk
from sink_drive import drive, run_info
from waiting import until

import realmaster_live as rm
from realmaster_live.errors import ConfigError
from realmaster_live.sinks import push

RECEIVER = Path(__file__).parent.parent / "parts" / "stream_receiver.py"
FFMPEG = shutil.which("ffmpeg")
SERVERS = {  # how each listens, and the URL to push to
    "rtsp": ("rtsp://127.0.0.1:{}/drive", ("listen_timeout=60",)),
    "rtmp": ("rtmp://127.0.0.1:{}/live/drive", ("listen=1",)),
    "srt": ("srt://127.0.0.1:{}", ()),
}


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def receiver(scheme, url, count):
    """Return a server that takes one stream and prints what it shows."""
    command = [sys.executable, str(RECEIVER), url, str(count), *SERVERS[scheme][1]]
    if scheme != "srt":
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    listening = f"'{FFMPEG}' -loglevel error -i '{url}?mode=listener' -c copy -f mpegts - | "
    command[2] = "pipe:0"
    return subprocess.Popen(
        ["bash", "-c", listening + " ".join(command)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def opened(url, process):
    """Return a sink that has reached its server, which takes a moment to listen."""
    deadline = time.monotonic() + 60
    while True:
        sink = rm.open_sink(url)
        try:
            sink.begin(run_info("front", "back"))
            return sink
        except ConfigError:
            assert process.poll() is None and time.monotonic() < deadline, process.communicate()
            time.sleep(0.3)


@pytest.mark.parametrize("scheme", SERVERS)
@pytest.mark.skipif(FFMPEG is None, reason="SRT needs the ffmpeg program")
def test_a_server_gets_the_realized_pictures_of_one_camera(scheme):
    url = SERVERS[scheme][0].format(free_port())
    process = receiver(scheme, url, 16)
    try:
        sink = opened(f"{url}#front", process)
        index, until = 0, time.monotonic() + 60
        while process.poll() is None and time.monotonic() < until:
            sink.write(driven_chunk(index, "back"))  # another camera, which is left out
            sink.write(driven_chunk(index))
            index += 1
            time.sleep(0.1)
        sink.close()
        out, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert out, errors
    got = json.loads(out)
    assert got["codec"] == "h264" and got["size"] == list(SIZE)
    corner = driven_chunk(0).frames[:, :8, :8].mean((0, 1, 2))
    shown = [one[1:] for one in got["pictures"]]
    real = [one for one in shown if abs(one - corner).max() < 6]
    grey = [one for one in shown if abs(one[0] - 128) < 4 and abs(one[2] - 128) < 4]
    assert len(real) + len(grey) == 16 and len(real) >= 4
    assert not grey or scheme == "srt"
    times = [one[0] for one in got["pictures"]][4:]
    assert times == sorted(set(times))


@pytest.mark.parametrize("url", ["rtsp://127.0.0.1:{}/x", "rtmp://127.0.0.1:{}/a/b"])
def test_a_server_that_is_not_there_is_one_sentence(url):
    url = url.format(free_port())
    with pytest.raises(ConfigError, match=r"expected a server that takes a stream at .* refused"):
        drive(rm.open_sink(url))


def turns_until(thread):
    """Return how often this thread gets its turn until another ends, of a hundred a second."""
    thread.start()
    turns = 0
    while thread.is_alive():
        thread.join(0.01)
        turns += 1
    return turns


@pytest.mark.parametrize("url", ["rtsp://127.0.0.1:{}/x", "rtmp://127.0.0.1:{}/a/b"])
def test_a_server_that_says_nothing_is_one_sentence_and_holds_up_nothing_else(monkeypatch, url):
    monkeypatch.setattr(push, "ANSWER_S", 1.0)
    said = []

    def opening():
        with pytest.raises(ConfigError) as raised:
            drive(rm.open_sink(url))
        said.append(str(raised.value))

    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = url.format(silent.getsockname()[1])
        assert turns_until(threading.Thread(target=opening)) > 20
    assert said[0].startswith("expected a server that takes a stream at rt")
    assert "got no answer: start it, or correct the address" in said[0]


@pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="stops a process with a signal of POSIX")
@pytest.mark.parametrize("scheme", ["rtsp", "rtmp"])
def test_a_server_that_reads_no_more_holds_up_nothing_else(monkeypatch, caplog, scheme):
    monkeypatch.setattr(push, "ANSWER_S", 1.0)
    url = SERVERS[scheme][0].format(free_port())
    process = receiver(scheme, url, 10_000)
    noise = np.random.default_rng(0).integers(0, 256, (4, 576, 1024, 3), np.uint8)
    try:
        sink = opened(url, process)
        sink.write(driven_chunk(0))
        until(lambda: sink.figures.written == 4, "the sink takes nothing")
        process.send_signal(signal.SIGSTOP)
        index = 1
        while not sink.figures.failed:  # until the buffers of both systems are full
            sink.write(replace(driven_chunk(index), frames=noise.copy(), labels={}))
            index += 1
            time.sleep(0.002)
        sink.close()
        assert "got no answer" in sink.figures.error
        assert "left as it is" not in caplog.text
    finally:
        process.kill()
        process.communicate()


@pytest.mark.skipif(FFMPEG is None, reason="SRT needs the ffmpeg program")
def test_an_srt_server_that_is_not_there_is_one_sentence():
    with pytest.raises(ConfigError, match="expected a server that takes a stream at srt://"):
        drive(rm.open_sink(f"srt://127.0.0.1:{free_port()}"))


def test_srt_without_ffmpeg_is_one_sentence(monkeypatch):
    monkeypatch.setattr(push.shutil, "which", lambda name: None)
    with pytest.raises(ConfigError, match="expected the program ffmpeg for srt"):
        drive(rm.open_sink("srt://127.0.0.1:9"))


def test_a_camera_that_the_source_has_not_is_refused():
    with pytest.raises(ConfigError, match="expected a camera out of front, got 'rear'"):
        drive(rm.open_sink("rtsp://127.0.0.1:9/x#rear"))


def test_a_server_that_goes_away_is_counted_and_tried_again(monkeypatch):
    monkeypatch.setattr(push, "AGAIN_S", 0.0)
    url = SERVERS["rtmp"][0].format(free_port())
    first = receiver("rtmp", url, 100)
    sink = opened(url, first)
    sink.write(driven_chunk(0))
    deadline = time.monotonic() + 60
    while sink.figures.written < 4 and time.monotonic() < deadline:
        time.sleep(0.05)
    first.kill()
    first.communicate()
    index = 1
    while sink.figures.failed == 0 and time.monotonic() < deadline:
        sink.write(driven_chunk(index))
        index += 1
        time.sleep(0.05)
    assert sink.figures.failed > 0 and "expected a server" in sink.figures.error
    second = receiver("rtmp", url, 4)
    before, deadline = sink.figures.written, time.monotonic() + 60
    while sink.figures.written == before and time.monotonic() < deadline:
        sink.write(driven_chunk(index))
        index += 1
        time.sleep(0.1)
    assert sink.figures.written > before
    sink.close()
    second.kill()
    second.communicate()
