"""JPEG and H.264 of a chunk's pictures, encoded once for all sinks of a run that want them.

Every chunk's H.264 begins with a key frame, so a sink that drops chunks goes on with any other,
and a viewer that comes late waits for one chunk at most. A sink that drops none takes what the
run's recording encodes for its films (`FilmOrOwn`), whose key frames are rarer.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from realmaster_live.frames.chunk import Chunk
from realmaster_live.frames.picture_notes import PictureNotes
from realmaster_live.frames.run_info import RunInfo
from realmaster_live.recording.film_packets import FilmPackets, Films
from realmaster_live.recording.h264 import H264Encoder
from realmaster_live.sinks.drawing import jpeg_bytes

Which = Literal["real", "sim"]
JPEG_QUALITY = 85
X264 = {"preset": "ultrafast", "crf": "23"}


def pictures_of(chunk: Chunk, which: Which = "real") -> NDArray[np.uint8]:
    """Return a chunk's realized pictures, (T, H, W, 3) uint8, or those of the simulator."""
    if which == "real" or chunk.rendered is None:
        return chunk.frames
    return chunk.rendered


@dataclass(slots=True)
class _Made:
    """What was made of one array of pictures."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    by_codec: dict[str, list[bytes]] = field(default_factory=dict)


class VideoOf(Protocol):
    """Gives the video of chunks."""

    def h264(self, chunk: Chunk, which: Which = "real") -> Sequence[bytes]:
        """Return a packet in Annex B of every picture; key frames have their parameter sets."""


class Encodings:
    """Encodes each chunk once, for whichever thread asks first; forgets it with its pictures.

    `run.share(Encodings)` gives all sinks of a run the same one.

    Args:
        fps: what the encoder plans its bits by.
    """

    def __init__(self, fps: float = 20.0) -> None:
        self.fps = fps
        self._made: PictureNotes[_Made] = PictureNotes()
        self._encoders: dict[tuple[str, Which, tuple[int, int]], H264Encoder] = {}
        self._lock = threading.Lock()

    @classmethod
    def of(cls, run: RunInfo) -> Encodings:
        """Return the one that the sinks of a run share."""
        encodings = run.share(cls)
        encodings.fps = run.spec.fps
        return encodings

    def jpeg(self, chunk: Chunk, which: Which = "real") -> list[bytes]:
        """Return a JPEG file of every picture."""
        pictures = pictures_of(chunk, which)
        return self._once(
            pictures, "jpeg", lambda: [jpeg_bytes(one, quality=JPEG_QUALITY) for one in pictures]
        )

    def h264(self, chunk: Chunk, which: Which = "real") -> list[bytes]:
        """Return a packet in Annex B of every picture, the first a key frame.

        Raises:
            RecordingError: the pictures have an odd side.
        """
        pictures = pictures_of(chunk, which)

        def encode() -> list[bytes]:
            return self._encoder(chunk.camera, which, pictures).encode(pictures)

        return self._once(pictures, f"h264 {which}", encode)

    def _once(
        self, pictures: NDArray[np.uint8], codec: str, make: Callable[[], list[bytes]]
    ) -> list[bytes]:
        made = self._made.keep(pictures, _Made)
        with made.lock:
            if codec not in made.by_codec:
                made.by_codec[codec] = make()
            return made.by_codec[codec]

    def _encoder(self, camera: str, which: Which, pictures: NDArray[np.uint8]) -> H264Encoder:
        height, width = pictures.shape[1:3]
        with self._lock:
            key = camera, which, (width, height)
            if key not in self._encoders:
                self._encoders[key] = H264Encoder((width, height), self.fps, x264=X264)
            return self._encoders[key]


class FilmOrOwn:
    """The video of a recording that the run's sinks write before, else one that is made here.

    For one sink, which writes every chunk in turn.

    Args:
        run: its sinks are looked at. None: nothing is recorded.
    """

    def __init__(self, run: RunInfo | None = None) -> None:
        self._own = Encodings() if run is None else Encodings.of(run)
        self._films = Films() if run is None else run.share(Films)
        self._last: dict[tuple[str, Which], FilmPackets] = {}

    def h264(self, chunk: Chunk, which: Which = "real") -> Sequence[bytes]:
        """Return a packet in Annex B of every picture, which continues those before.

        Raises:
            RecordingError: the pictures have an odd side.
        """
        film = self._films.get(pictures_of(chunk, which))
        key = chunk.camera, which
        if film is not None and film.continues(self._last.get(key)):
            self._last[key] = film
            return film.packets
        self._last.pop(key, None)
        return self._own.h264(chunk, which)
