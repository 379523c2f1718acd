"""One video file of the rendered pictures beside the realized ones."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from realmaster_live.errors import ConfigError, RecordingError, reason
from realmaster_live.frames.chunk import Chunk
from realmaster_live.frames.run_info import RunInfo
from realmaster_live.recording.videos import CONTAINERS, Pictures, PictureWriter
from realmaster_live.sinks.drawing import tag
from realmaster_live.sinks.urls import SinkUrl

GAP_PX = 4


def from_url(url: SinkUrl) -> SideBySideVideo:
    """Return the sink of `video:FILE`."""
    if url.path.suffix not in CONTAINERS:
        raise url.wrong(f"the ending {url.path.suffix!r}, not {' or '.join(CONTAINERS)},")
    return SideBySideVideo(url.path)


class SideBySideVideo:
    """A sink that blocks while it encodes; the file plays in any browser.

    Holds the camera whose chunk arrives first; chunks of other cameras are left out.

    Args:
        path: the new .mp4 or .mkv to write.
        fps: pictures a second; in a run the engine's by default.
        captions: written into the two halves; None for bare pictures.
        overwrite: replace a file that is there.

    Raises:
        ConfigError: the path has another ending.
    """

    def __init__(
        self,
        path: str | Path,
        fps: float | None = None,
        *,
        captions: tuple[str, str] | None = ("simulator", "realized"),
        overwrite: bool = False,
    ) -> None:
        self.path = Path(path)
        if self.path.suffix not in CONTAINERS:
            raise ConfigError(
                f"expected a film that ends in {' or '.join(CONTAINERS)}, got {self.path}: name it "
                "so"
            )
        self.fps = fps
        self.captions = captions
        self._writer: PictureWriter | None = None
        self._picture: NDArray[np.uint8] | None = None  # again: fresh memory costs ten times a copy
        self._camera: str | None = None
        self._entered = self._closed = False
        self._is_taken = overwrite  # whether this film may write to its path
        self._is_new = False

    def __repr__(self) -> str:
        """Say which file it writes."""
        rate = "" if self.fps is None else f", {self.fps:g} pictures a second"
        return f"SideBySideVideo({str(self.path)!r}{rate})"

    @property
    def is_open(self) -> bool:
        """Whether it was opened and not closed yet."""
        return (self._entered or self._writer is not None) and not self._closed

    def begin(self, run: RunInfo) -> None:
        """Take the rate of the film from a run, and the name of the file."""
        self._take()
        self.fps = run.spec.fps if self.fps is None else self.fps

    def __enter__(self) -> SideBySideVideo:
        self._take()
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def write(self, chunk: Chunk) -> None:
        """Append one chunk."""
        self._camera = self._camera or chunk.camera
        if chunk.camera != self._camera:
            return
        rendered = chunk.frames if chunk.rendered is None else chunk.rendered
        for left, right in zip(rendered, chunk.frames, strict=True):
            self.add(left, right)

    def add(self, rendered: NDArray[np.uint8], realized: NDArray[np.uint8]) -> None:
        """Append one frame, (H, W, 3) uint8 sRGB each."""
        height, width, colours = rendered.shape
        shape = height, 2 * width + GAP_PX, colours
        if self._picture is None or self._picture.shape != shape:
            self._picture = np.zeros(shape, np.uint8)
        halves = self._picture[:, :width], self._picture[:, width + GAP_PX :]
        for half, pixels in zip(halves, (rendered, realized), strict=True):
            half[:] = pixels
        for half, caption in zip(halves, self.captions or (), strict=False):
            tag(half, caption)
        if self._writer is None:
            self._writer = self._open((shape[1], height))
        self._writer.write(self._picture)

    def close(self) -> None:
        """Finish the file; may be called twice. A film without pictures leaves none."""
        if self._writer is not None:
            self._writer.close()
        elif self._is_new and not self._closed:
            self.path.unlink(missing_ok=True)
        self._closed = True

    def _take(self) -> None:
        """Make the file, empty, so that nothing else takes its name."""
        self._entered = True
        if self._is_taken:
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.touch(exist_ok=False)
        except OSError as error:
            if os.path.lexists(self.path):
                raise RecordingError(
                    f"expected to make the new film {self.path}, got one that exists: choose "
                    "another name"
                ) from error
            raise RecordingError(
                f"expected to write in {self.path.parent}, got {reason(error)}: choose another "
                "place"
            ) from error
        self._is_taken = self._is_new = True

    def _open(self, size: tuple[int, int]) -> PictureWriter:
        if self._closed:
            raise RecordingError(
                f"expected a film that was not closed, got {self.path}: make another"
            )
        if self.fps is None:
            raise ConfigError(
                f"expected the pictures a second of {self.path}, got none: give fps, or give the "
                "film to run()"
            )
        self._take()
        return PictureWriter(self.path, size, self.fps, Pictures(preset="ultrafast", crf=22))
