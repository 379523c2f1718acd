"""Pictures of a window, of the screen, or of a video device: no labels, no pose, any program.

window+capture://Grand Theft Auto V     that window (Windows)
window+capture://?region=0,0,1280,720   that part of the screen: x, y, width, height
window+capture://                       the whole screen
device:///dev/video0, device://0        a capture card or a virtual camera
device://drive.mp4                      a video, at its own pace
"""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qs, unquote

import numpy as np
from numpy.typing import NDArray

from realmaster_live.errors import ConfigError, ConnectError, FrameTimeout
from realmaster_live.optional import require

WINDOW, DEVICE = "window+capture://", "device://"


class CaptureEnded(Exception):
    """The video or the window has come to its end; our own code catches this, no user sees it."""


class Capture(Protocol):
    """Where pictures come from."""

    def read(self, timeout_s: float) -> NDArray[np.uint8]:
        """Return the next (H, W, 3) uint8 picture, B, G, R; it may be overwritten by the next.

        Raises FrameTimeout, and CaptureEnded where there is no next one.
        """

    def close(self) -> None:
        """Release the window or the device; may be called twice."""


def open_capture(url: str, *, fps: float) -> Capture:
    """Return the capture of a `window+capture://` or `device://` URL; `fps` paces the screen's.

    Raises:
        ConfigError: the URL names nothing that can be captured here.
        ConnectError: the window or the device cannot be opened.
    """
    if url.startswith(DEVICE):
        return DeviceCapture(url.removeprefix(DEVICE))
    title, _, query = url.removeprefix(WINDOW).partition("?")
    title, options = unquote(title).strip("/"), parse_qs(query)
    if not url.startswith(WINDOW) or options.keys() - {"region"} or (title and options):
        raise ConfigError(
            f"expected {WINDOW}TITLE, {WINDOW}?region=x,y,width,height or {DEVICE}PATH, got {url}: "
            "write one of them"
        )
    if not title:
        return ScreenCapture(_region(options.get("region", [""])[0]), fps=fps)
    if sys.platform != "win32":
        raise ConfigError(
            f"expected a region of the screen, since windows have no titles here, got {title!r}: "
            f"use {WINDOW}?region=x,y,width,height"
        )
    return WindowCapture(title)


class ScreenCapture:
    """The screen or a part of it, `fps` times a second, whatever lies on top.

    Args:
        region: x, y, width, height in pixels; None for all of the first screen.
    """

    def __init__(self, region: tuple[int, int, int, int] | None, *, fps: float) -> None:
        mss = require("mss", extra="gta")
        try:
            self._screen = getattr(mss, "MSS", mss.mss)()
            x, y, width, height = region or (None,) * 4
            first = self._screen.monitors[min(1, len(self._screen.monitors) - 1)]
        except mss.ScreenShotError as error:
            raise ConnectError(
                f"expected a screen to capture, got {error}: start this in a session that has one"
            ) from error
        place = {"left": x, "top": y, "width": width, "height": height}
        self._place = first if region is None else place
        self._failed = mss.ScreenShotError
        self._step_s = 1.0 / fps
        self._due = time.monotonic()

    def read(self, timeout_s: float) -> NDArray[np.uint8]:
        """Return the screen at its next turn."""
        now = time.monotonic()
        self._due = max(self._due, now - self._step_s)
        time.sleep(max(0.0, min(timeout_s, self._due - now)))
        self._due += self._step_s
        try:
            shot = self._screen.grab(self._place)
        except self._failed as error:
            raise ConnectError(
                f"expected a picture of the screen at {self._place}, got {error}: give a region "
                "that lies on it"
            ) from error
        bgra = np.frombuffer(shot.raw, np.uint8).reshape(shot.height, shot.width, 4)
        return _without_alpha(bgra)

    def close(self) -> None:
        """Release the screen; may be called twice."""
        self._screen.close()


class WindowCapture:
    """One window by Windows Graphics Capture: windows on top of it are not captured.

    Args:
        title: the window's, or a part of it.
    """

    def __init__(self, title: str) -> None:
        library = require("windows_capture", extra="gta")
        self._title = title
        self._changed = threading.Condition()
        self._newest: NDArray[np.uint8] | None = None
        self._ended = False
        capture = library.WindowsCapture(
            cursor_capture=False, draw_border=False, monitor_index=None, window_name=title
        )

        def on_frame_arrived(frame: Any, control: Any) -> None:
            with self._changed:
                self._newest = _without_alpha(frame.frame_buffer)
                self._changed.notify_all()

        def on_closed() -> None:
            with self._changed:
                self._ended = True
                self._changed.notify_all()

        capture.event(on_frame_arrived)  # the library goes by these functions' names
        capture.event(on_closed)
        try:
            self._control = capture.start_free_threaded()
        except Exception as error:  # the library raises bare Exceptions
            raise ConnectError(
                f"expected a window with the title {title!r}, got {error}: start the game first"
            ) from error

    def read(self, timeout_s: float) -> NDArray[np.uint8]:
        """Return the newest picture that was not read yet."""
        with self._changed:
            self._changed.wait_for(lambda: self._newest is not None or self._ended, timeout_s)
            newest, self._newest = self._newest, None
            if newest is not None:
                return newest
            if self._ended:
                raise CaptureEnded
        raise FrameTimeout(
            f"expected a picture of {self._title!r} within {timeout_s:g} s, got none: see that it "
            "is not minimised"
        )

    def close(self) -> None:
        """Stop; may be called twice."""
        with self._changed:
            control, self._control = self._control, None
        if control is not None:
            control.stop()


class DeviceCapture:
    """What OpenCV can open: a device by its path or number, a stream by its address, a video.

    A read of a device cannot be given up: it ends with the next picture, or when the driver says
    that there is none.
    """

    def __init__(self, place: str) -> None:
        self._cv2 = require("cv2", extra="gta")
        self._place = place
        opened = int(place) if place.isdecimal() else place
        self._device = self._cv2.VideoCapture(opened)
        if not self._device.isOpened():
            raise ConnectError(
                f"expected a video device, stream or file at {place!r}, got nothing that opens: "
                "see that it is there and that no other program holds it"
            )
        fps = self._device.get(self._cv2.CAP_PROP_FPS) if Path(place).is_file() else 0.0
        self._step_s = 1.0 / fps if fps > 0 else 0.0  # a file would come all at once
        self._due = time.monotonic()
        self._lock = threading.Lock()

    def read(self, timeout_s: float) -> NDArray[np.uint8]:
        """Return the next picture."""
        time.sleep(max(0.0, min(timeout_s, self._due - time.monotonic())))
        self._due += self._step_s
        with self._lock:
            came, picture = self._device.read()
        if not came:
            raise CaptureEnded
        return np.asarray(picture, np.uint8)

    def close(self) -> None:
        """Release the device; may be called twice."""
        with self._lock:
            self._device.release()


def _region(text: str) -> tuple[int, int, int, int] | None:
    if not text:
        return None
    try:
        x, y, width, height = map(int, text.split(","))
    except ValueError:
        width = height = 0
    if width < 1 or height < 1:
        raise ConfigError(
            f"expected a region such as 0,0,1280,720 (x, y, width, height), got {text!r}: "
            "give four whole numbers"
        )
    return x, y, width, height


def _without_alpha(bgra: NDArray[np.uint8]) -> NDArray[np.uint8]:
    cv2 = require("cv2", extra="gta")
    picture: NDArray[np.uint8] = cv2.cvtColor(bgra, cv2.COLOR_BGRA2BGR)
    return picture
