"""Recordings that are started and stopped from the page, without holding up the run."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from realmaster_live.errors import ConfigError
from realmaster_live.frames.chunk import Chunk
from realmaster_live.frames.run_info import RunInfo
from realmaster_live.recording.recorder import Recorder
from realmaster_live.sinks.background import BackgroundSink

MOST_WAITING = 16  # chunks; beyond that whole ticks are left out, counted as lost before the next


class RecordingSwitch:
    """Records on a thread of its own, from one tick to another, each time in a new folder.

    Args:
        folder: where the recordings' folders are made; None to refuse.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._current: _Recording | None = None
        self._last: _Recording | None = None

    @property
    def why_not(self) -> str:
        """Why nothing can be recorded; "" where it can."""
        return "" if self._folder else "give --view-recordings DIR, a folder for recordings"

    def start(self, run: RunInfo | None) -> None:
        """Begin a recording at the next tick; may take a moment.

        Raises:
            ConfigError: there is no folder or no run, or a recording is going on.
            RecordingError: the folder cannot be written.
        """
        if self._folder is None:
            raise ConfigError(f"expected a folder to record in, got none: {self.why_not}")
        if run is None:
            raise ConfigError("expected a run to record, got none: wait until it begins")
        with self._lock:
            if self._current is not None:
                raise ConfigError(
                    f"expected no recording, got {self._current.folder}: stop it first"
                )
            self._current = _Recording(_new_folder(self._folder), run)
            self._last = self._current

    def stop(self) -> None:
        """End the recording, if there is one; returns when its files are whole."""
        with self._lock:  # until then, so that the end of a run waits for one stopped on the page
            current, self._current = self._current, None
            if current is not None:
                current.finish()

    def write(self, chunk: Chunk) -> None:
        """Record one chunk if a recording is going on; never blocks."""
        current = self._current
        if current is not None:
            current.write(chunk)

    def state(self) -> dict[str, Any]:
        """Return what the page says of it."""
        last = self._last
        return {
            "why_not": self.why_not,
            "is_on": last is not None and last.is_on,
            **(last.state() if last is not None else {"folder": "", "error": ""}),
        }


class _Recording:
    """One recording, written behind a queue that is never full, so that it never blocks."""

    def __init__(self, folder: Path, run: RunInfo) -> None:
        self.folder = folder
        self.left_out = 0  # frames
        self._is_whole = False
        self._empty = ""  # what is said of a recording that got no frame
        self._sink = BackgroundSink(
            Recorder(folder), name="view-record", policy="block", queue_chunks=2 * MOST_WAITING
        )
        self._sink.begin(run)
        self._began, self._seconds = time.monotonic(), 0.0
        self._first: int | None = None  # number of a tick that may have begun already
        self._tick: int | None = None
        self._takes_tick = False
        self._missing: dict[str, int] = {}  # frames left out since a camera's last chunk

    @property
    def is_on(self) -> bool:
        return not self._is_whole and not self._sink.figures.error

    def write(self, chunk: Chunk) -> None:
        tick = int(chunk.frame_ids[0])
        if self._first is None:
            self._first = tick
        if self._tick is None and tick == self._first:
            return
        if tick != self._tick:
            figures = self._sink.figures
            self._tick = tick
            self._takes_tick = figures.waiting < MOST_WAITING and not figures.error
        missing = chunk.dropped_before + self._missing.pop(chunk.camera, 0)
        if self._takes_tick:
            self._sink.write(replace(chunk, dropped_before=missing))
        else:
            self._missing[chunk.camera] = missing + len(chunk)
            self.left_out += len(chunk)

    def finish(self) -> None:
        self._sink.close()
        if not self._sink.figures.error and not self._sink.figures.written:
            self.folder.rmdir()  # nothing was written into it
            self._empty = "nothing was recorded, as no frame came before the stop: record longer"
        self._is_whole = True

    def state(self) -> dict[str, Any]:
        if self.is_on:
            self._seconds = time.monotonic() - self._began
        figures = self._sink.figures
        return {
            "folder": str(self.folder),
            "error": figures.error or self._empty,
            "frames": figures.written,
            "left_out": self.left_out,
            "seconds": round(self._seconds, 1),
        }


def _new_folder(within: Path) -> Path:
    """Return the path of a new folder, named by the time."""
    name = datetime.now().strftime("%Y%m%d-%H%M%S")
    place, count = within / name, 1
    while place.exists():
        count += 1
        place = within / f"{name}-{count}"
    return place
