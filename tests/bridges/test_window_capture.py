"""Capture of a real screen (Xvfb) with a real window on it, and of a real video."""

import contextlib
import itertools
import shutil
import subprocess
import sys
import time
import types

import cv2
import numpy as np
import pytest

from realmaster_live.bridges.gtav.bridge import GtavBridge
from realmaster_live.bridges.gtav.relay.display import WindowDisplay
from realmaster_live.bridges.window_capture import CaptureEnded, open_capture
from realmaster_live.errors import ConfigError, ConnectError, FrameTimeout

SCREEN = (400, 300)
PLACE = (40, 30, 160, 90)  # x, y, width, height of the window
URL = "window+capture://?region=" + ",".join(map(str, PLACE))


@pytest.fixture
def screen(monkeypatch):
    if shutil.which("Xvfb") is None:
        pytest.skip("Xvfb is not installed: apt install xvfb")
    command = ["Xvfb", "-displayfd", "1", "-screen", "0", f"{SCREEN[0]}x{SCREEN[1]}x24"]
    server = subprocess.Popen(
        [*command, "-nolisten", "tcp", "-noreset"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        number = server.stdout.readline().strip()
        assert number.isdecimal()
        monkeypatch.setenv("DISPLAY", f":{number}")
        yield
    finally:
        server.kill()
        server.wait()
        server.stdout.close()


def picture(number):
    return np.random.default_rng(number).integers(0, 256, (PLACE[3], PLACE[2], 3), np.uint8)


class WindowProcess:
    """A window of a process of its own: an X server that ends takes its clients with it."""

    SCRIPT = """
import sys
import numpy as np
from realmaster_live.bridges.gtav.relay.display import WindowDisplay
place, height, width = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
shown = WindowDisplay(place)
for line in sys.stdin:
    rng = np.random.default_rng(int(line))
    shown.show(rng.integers(0, 256, (height, width, 3), np.uint8))
    print("shown", flush=True)
shown.close()
"""

    def __init__(self, place, height, width):
        command = [sys.executable, "-c", self.SCRIPT, place, str(height), str(width)]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)

    def show(self, number):
        self._process.stdin.write(f"{number}\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == "shown\n"

    def close(self):
        self._process.communicate(timeout=60)
        assert self._process.returncode == 0


@pytest.fixture
def window(screen):
    x, y, width, height = PLACE
    with contextlib.closing(WindowProcess(f"{width}x{height}+{x}+{y}", height, width)) as shown:
        shown.show(0)
        yield shown


def test_a_window_is_borderless_and_captured_to_the_pixel(window):
    with contextlib.closing(open_capture(URL, fps=50.0)) as capture:
        for number in range(3):
            window.show(number)
            np.testing.assert_array_equal(capture.read(30.0)[..., ::-1], picture(number))


def test_the_whole_screen_has_the_window_at_its_place(window):
    with contextlib.closing(open_capture("window+capture://", fps=50.0)) as capture:
        whole = capture.read(30.0)[..., ::-1]
    x, y, width, height = PLACE
    assert whole.shape == (SCREEN[1], SCREEN[0], 3)
    np.testing.assert_array_equal(whole[y : y + height, x : x + width], picture(0))
    assert not whole[:y].any()


def test_a_window_of_another_size_scales_the_picture(screen):
    region = "window+capture://?region=0,0,80,60"
    with contextlib.closing(WindowProcess("80x60+0+0", 30, 40)) as shown:
        shown.show(5)
        with contextlib.closing(open_capture(region, fps=50.0)) as capture:
            seen = capture.read(30.0)[..., ::-1]
    small = np.random.default_rng(5).integers(0, 256, (30, 40, 3), np.uint8)
    scaled = cv2.resize(small, (80, 60), interpolation=cv2.INTER_LINEAR)
    np.testing.assert_array_equal(seen, scaled)


def test_the_screen_is_captured_at_a_steady_rate(screen):
    with contextlib.closing(open_capture("window+capture://", fps=25.0)) as capture:
        capture.read(30.0)
        began = time.monotonic()
        for _ in range(10):
            capture.read(30.0)
        assert time.monotonic() - began > 9 / 25.0


def test_the_bridge_gives_frames_of_a_window_with_no_labels(window):
    width, height = PLACE[2:]
    with GtavBridge(URL, width=width, height=height, fps=20, timeout_s=30.0) as bridge:
        frames = bridge.frames()
        first = next(frames)
        window.show(1)
        later = next(frame for frame in frames if not np.array_equal(frame.image, first.image))
    np.testing.assert_array_equal(first.image, picture(0))
    np.testing.assert_array_equal(later.image, picture(1))
    assert later.labels == {}
    np.testing.assert_array_equal(later.cam_to_world, np.eye(4))
    assert later.frame_id > first.frame_id


def test_a_window_takes_no_commands(window):
    with (
        GtavBridge(URL, fps=20) as bridge,
        pytest.raises(ConfigError, match="got a capture and Commands"),
    ):
        bridge.drive(0.0, 1.0, 0.0)


def test_without_a_screen_there_is_one_sentence(monkeypatch):
    monkeypatch.setenv("DISPLAY", ":4711")
    with pytest.raises(ConnectError, match="expected a screen to capture"):
        open_capture("window+capture://", fps=20.0)
    with pytest.raises(ConnectError, match="expected a screen to show"):
        WindowDisplay()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("window+capture://?region=1,2,3", "four whole numbers"),
        ("window+capture://?region=0,0,0,9", "four whole numbers"),
        ("window+capture://?place=0,0,9,9", "write one of them"),
        ("screen://", "write one of them"),
    ],
)
def test_addresses_that_name_nothing(url, message):
    with pytest.raises(ConfigError, match=message):
        open_capture(url, fps=20.0)


@pytest.mark.skipif(sys.platform == "win32", reason="there windows are found by their titles")
def test_titles_are_for_windows():
    with pytest.raises(ConfigError, match="got 'Grand Theft Auto V'"):
        open_capture("window+capture://Grand Theft Auto V", fps=20.0)


class WindowsCapture:
    """Stands at the border of the package that only Windows has: its names, its callbacks."""

    def __init__(self, cursor_capture, draw_border, monitor_index, window_name):
        self.title, self.handlers, self.is_stopped = window_name, {}, False

    def event(self, handler):
        self.handlers[handler.__name__] = handler

    def start_free_threaded(self):
        if self.title == "No such window":
            raise Exception("Failed To Find Window")
        WindowsCapture.running = self
        return self

    def stop(self):
        self.is_stopped = True

    def draw(self, value):
        buffer = np.full((6, 8, 4), value, np.uint8)
        self.handlers["on_frame_arrived"](types.SimpleNamespace(frame_buffer=buffer), self)


@pytest.fixture
def windows(monkeypatch):
    package = types.ModuleType("windows_capture")
    package.WindowsCapture = WindowsCapture
    monkeypatch.setitem(sys.modules, "windows_capture", package)
    monkeypatch.setattr(sys, "platform", "win32")


def test_of_a_window_the_newest_picture_is_read(windows):
    with contextlib.closing(open_capture("window+capture://My%20Game", fps=20.0)) as capture:
        game = WindowsCapture.running
        assert game.title == "My Game"
        game.draw(1)
        game.draw(2)
        seen = capture.read(30.0)
        assert seen.shape == (6, 8, 3) and (seen == 2).all()
        with pytest.raises(FrameTimeout, match=r"'My Game' within 0\.01 s"):
            capture.read(0.01)
        game.draw(3)
        game.handlers["on_closed"]()
        assert (capture.read(30.0) == 3).all()
        with pytest.raises(CaptureEnded):
            capture.read(30.0)
    capture.close()
    assert game.is_stopped


def test_no_such_window_is_reported(windows):
    with pytest.raises(ConnectError, match="expected a window with the title 'No such window'"):
        open_capture("window+capture://No such window", fps=20.0)


@pytest.fixture
def clip(tmp_path):
    file = tmp_path / "clip.mp4"
    writer = cv2.VideoWriter(str(file), cv2.VideoWriter_fourcc(*"mp4v"), 25.0, (64, 48))
    for number in range(12):
        writer.write(np.full((48, 64, 3), (0, 0, 20 * number), np.uint8))  # ever more red
    writer.release()
    return file


def test_a_video_is_a_device_at_its_own_pace(clip):
    with GtavBridge(f"device://{clip}", width=64, height=48, fps=25) as bridge:
        began = time.monotonic()
        frames = list(bridge.frames())
        assert time.monotonic() - began > 10 / 25
        counts = bridge.counts
    assert counts["received"] == 12
    reds = [int(frame.image[24, 32, 0]) for frame in frames]
    lost = counts["left_out"] + counts["overtaken"]  # where this machine was late
    assert reds == sorted(reds) and len(set(reds)) >= 12 - lost
    assert reds[-1] == pytest.approx(220, abs=6 + 20 * lost)
    assert max(int(frame.image[24, 32, 2]) for frame in frames) < 12
    assert all(b.frame_id == a.frame_id + 1 for a, b in itertools.pairwise(frames))


def test_a_video_ends(clip):
    with contextlib.closing(open_capture(f"device://{clip}", fps=25.0)) as capture:
        for _ in range(12):
            capture.read(30.0)
        with pytest.raises(CaptureEnded):
            capture.read(30.0)


def test_no_device_is_reported(tmp_path, capfd):
    with pytest.raises(ConnectError, match="nothing that opens"):
        open_capture(f"device://{tmp_path / 'none.mp4'}", fps=25.0)
