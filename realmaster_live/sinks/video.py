"""One video file of the rendered pictures beside the realized ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from realmaster_live.errors import RecordingError
from realmaster_live.frames.chunk import Chunk
from realmaster_live.recording.videos import Pictures, PictureWriter
from realmaster_live.sinks.drawing import tag

GAP_PX = 4


def side_by_side(rendered: NDArray[np.uint8], realized: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return two pictures of one size, (H, W, 3) uint8, next to each other."""
    gap = np.zeros((rendered.shape[0], GAP_PX, 3), np.uint8)
    return np.concatenate([rendered, gap, realized], axis=1)


class SideBySideVideo:
    """A sink that blocks while it encodes; the file plays in any browser.

    Holds the camera whose chunk arrives first; chunks of other cameras are left out.

    Args:
        path: the .mp4 to write; replaced if it is there.
        fps: pictures a second.
        captions: written into the two halves; None for bare pictures.
    """

    def __init__(
        self,
        path: str | Path,
        fps: float,
        *,
        captions: tuple[str, str] | None = ("simulator", "realized"),
    ) -> None:
        self.path = Path(path)
        self.fps = fps
        self.captions = captions
        self._writer: PictureWriter | None = None
        self._camera: str | None = None

    def __enter__(self) -> SideBySideVideo:
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
        picture = side_by_side(rendered, realized)
        height, width = picture.shape[:2]
        if self.captions is not None:
            left, right = self.captions
            tag(picture, left)
            tag(picture[:, rendered.shape[1] + GAP_PX :], right)
        if self._writer is None:
            self._writer = self._open((width, height))
        self._writer.write(picture)

    def close(self) -> None:
        """Finish the file; may be called twice."""
        if self._writer is not None:
            self._writer.close()

    def _open(self, size: tuple[int, int]) -> PictureWriter:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise RecordingError(
                f"expected to write in {self.path.parent}, got {error}: choose another place"
            ) from error
        return PictureWriter(self.path, size, self.fps, Pictures(preset="veryfast", crf=20))
