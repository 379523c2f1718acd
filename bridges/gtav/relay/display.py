"""Displays of realized pictures on the game's machine: a window, a virtual camera, files."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from realmaster_live.errors import (
    ConfigError,
    ConnectError,
    MissingDependency,
    RecordingError,
    reason,
)
from realmaster_live.optional import require

PLACE = re.compile(r"(\d+)x(\d+)([+-]\d+)([+-]\d+)")


class Display(Protocol):
    """Shows pictures; made and used on one thread."""

    def show(self, picture: NDArray[np.uint8]) -> None:
        """Show one (H, W, 3) uint8 sRGB picture until the next; returns at once."""

    def idle(self) -> None:
        """Serve the window system's events; called while there is nothing new to show."""

    def close(self) -> None:
        """Release; may be called twice."""


def open_display(where: str, *, fps: float) -> Display | None:
    """Return the display of `window[:1920x1080+0+0]`, `camera` or a new folder; None for `none`.

    Raises:
        ConfigError: the place of a window is none.
        ConnectError: there is no screen or no virtual camera.
    """
    kind, _, place = where.partition(":")
    if where == "none":
        return None
    if kind == "window":
        return WindowDisplay(place or None)
    if where == "camera":
        return CameraDisplay(fps=fps)
    return FolderDisplay(where)


class WindowDisplay:
    """A window without a border, on top of the others.

    Args:
        place: such as 1920x1080+0+0: size and upper left corner; None for the pictures' own size.
    """

    def __init__(self, place: str | None = None) -> None:
        try:
            import tkinter
        except ImportError as error:  # Debian and others keep it apart from Python
            raise MissingDependency(
                f"expected Python's own tkinter, which does not import ({error}): install the "
                "system's package python3-tk, or choose another --show"
            ) from error
        found = PLACE.fullmatch(place) if place is not None else None
        if place is not None and found is None:
            raise ConfigError(
                f"expected a window's place such as 1920x1080+0+0, got {place!r}: give width, "
                "height and the corner"
            )
        self._size = None if found is None else (int(found[1]), int(found[2]))
        try:
            self._root: Any = tkinter.Tk()
        except tkinter.TclError as error:
            raise ConnectError(
                f"expected a screen to show pictures on, got {error}: run this where there is one"
            ) from error
        self._root.title("realmaster")
        self._root.overrideredirect(True)
        self._root.attributes("-topmost", True)
        if place is not None:
            self._root.geometry(place)
        self._label = tkinter.Label(self._root, borderwidth=0, highlightthickness=0)
        self._label.pack()
        self._new_image = tkinter.PhotoImage
        self._closed = False

    def show(self, picture: NDArray[np.uint8]) -> None:
        """Draw the picture, scaled to the window."""
        if self._size is not None and picture.shape[1::-1] != self._size:
            cv2 = require("cv2", extra="gta")
            picture = cv2.resize(picture, self._size, interpolation=cv2.INTER_LINEAR)
        height, width = picture.shape[:2]
        ppm = b"P6 %d %d 255 " % (width, height) + np.ascontiguousarray(picture).tobytes()
        self._image = self._new_image(data=ppm, format="PPM")  # Tk forgets what nobody holds
        self._label.configure(image=self._image)
        self._root.update()

    def idle(self) -> None:
        """Answer the window system, which takes an unresponsive window for a dead one."""
        self._root.update()

    def close(self) -> None:
        """Take the window away."""
        if not self._closed:
            self._closed = True
            self._root.destroy()


class CameraDisplay:
    """A virtual camera, such as OBS's, for other programs; made with the first picture's size."""

    def __init__(self, *, fps: float) -> None:
        self._library = require("pyvirtualcam", extra="gta")
        self._fps = fps
        self._camera: Any = None
        self._size = (0, 0)

    def show(self, picture: NDArray[np.uint8]) -> None:
        """Send the picture."""
        height, width = picture.shape[:2]
        if self._camera is None:
            try:
                self._camera = self._library.Camera(width=width, height=height, fps=self._fps)
                self._size = (width, height)
            except RuntimeError as error:
                raise ConnectError(
                    f"expected a virtual camera, got {error}: install OBS, which brings one"
                ) from error
        if (width, height) != self._size:  # a camera keeps its size
            cv2 = require("cv2", extra="gta")
            picture = cv2.resize(picture, self._size, interpolation=cv2.INTER_LINEAR)
        self._camera.send(np.ascontiguousarray(picture))

    def idle(self) -> None:
        """Do nothing: the last picture stays."""

    def close(self) -> None:
        """Release the camera."""
        if self._camera is not None:
            self._camera.close()


class FolderDisplay:
    """A folder of PNG files, numbered from 0, to look at later.

    Args:
        folder: is created; raises ConfigError where it is not empty or cannot be created.
    """

    def __init__(self, folder: str | Path) -> None:
        self._cv2 = require("cv2", extra="gta")
        self._folder, self._count = Path(folder), 0
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(
                f"expected a folder for realized pictures, got {reason(error)}: choose another"
            ) from error
        if any(self._folder.iterdir()):
            raise ConfigError(
                f"expected a new folder for realized pictures, got {folder} with files in it: "
                "choose another"
            )

    def show(self, picture: NDArray[np.uint8]) -> None:
        """Write the picture."""
        name = self._folder / f"{self._count:06d}.png"
        _, data = self._cv2.imencode(".png", self._cv2.cvtColor(picture, self._cv2.COLOR_RGB2BGR))
        try:
            name.write_bytes(data.tobytes())
        except OSError as error:
            raise RecordingError(
                f"expected to write {name}, got {reason(error)}: free some disk space or choose "
                "another folder"
            ) from error
        self._count += 1

    def idle(self) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing: no file is left open."""
