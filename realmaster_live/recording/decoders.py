"""Gives any picture or label of a stream, and remembers where it is: the next one costs least.

A film has a key frame every half second (`videos.FRAGMENT_S`): a picture at random costs a seek and
on average half of those pictures' decoding, one that follows the last only its own.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from realmaster_live.recording.files import unplayable
from realmaster_live.recording.labels import LabelFile
from realmaster_live.recording.packing import PACKINGS
from realmaster_live.recording.videos import (
    DECODING,
    FRAGMENT_S,
    UNPLAYABLE,
    av,
    film_of,
    open_video,
    to_rgb,
)


class Decoder(Protocol):
    """An open stream, for one thread of one process."""

    def picture(self, place: int) -> NDArray[Any] | None:
        """Return the picture or label at an index; None if the stream ends before.

        Raises:
            RecordingError: it cannot be decoded.
        """
        ...


def open_decoder(path: Path, stream: str, fps: float) -> Decoder:
    """Return the decoder of a stream's file; `fps` is the frame rate of a film's clock.

    Raises:
        RecordingError: the file cannot be opened.
    """
    if stream in PACKINGS:
        return LabelFile(path, stream)
    return FilmDecoder(path, fps)


def read_pictures(path: Path, wanted: Iterable[int], fps: float) -> Iterator[NDArray[Any]]:
    """Yield the pictures of a film at ascending indices; fewer if it ends before.

    Raises:
        RecordingError: it cannot be played, or only up to some picture.
    """
    film = FilmDecoder(path, fps)
    for place in wanted:
        picture = film.picture(place)
        if picture is None:
            return
        yield picture


class FilmDecoder:
    """An open film that PictureWriter wrote, whose pictures are (H, W, 3) uint8 sRGB.

    Args:
        path: the film. fps: frame rate of its clock.
    """

    def __init__(self, path: Path, fps: float) -> None:
        self._path = path
        self._reach = max(1, math.ceil(FRAGMENT_S * fps))  # a seek would decode as many
        self._convert = av.video.reformatter.VideoReformatter()
        self._frames: Iterator[Any] = iter(())
        self._at = -1  # which picture was decoded last
        try:
            self._container = open_video(path)
            self._film = film_of(self._container)
            context = self._film.codec_context
            context.options = dict(DECODING)
            context.thread_count = 1  # threads would not survive a fork
            self._pace = float(self._film.time_base) * fps  # pictures a unit of the film's time
        except UNPLAYABLE as error:
            raise unplayable(path, error) from error

    def picture(self, place: int) -> NDArray[Any] | None:
        """Return the picture at an index; None if the film ends before.

        Raises:
            RecordingError: it cannot be decoded.
        """
        try:
            frame = None
            if 0 < place - self._at <= self._reach:
                frame = self._advance(place)
            if frame is None:
                self._seek(place)
                frame = self._advance(place)
            if frame is None:  # an interrupted film may seek too far
                self._seek(0)
                frame = self._advance(place)
            if frame is None:
                return None
            return to_rgb(frame, self._convert)
        except UNPLAYABLE as error:
            self._at = -1
            raise unplayable(self._path, error) from error

    def _seek(self, place: int) -> None:
        self._at = -1
        self._container.seek(round(place / self._pace), stream=self._film)
        self._frames = self._container.decode(self._film)

    def _advance(self, place: int) -> Any | None:
        """Decode up to a picture; None where the film ends before or is beyond it already."""
        for frame in self._frames:
            self._at = round(frame.pts * self._pace)
            if self._at == place:
                return frame
            if self._at > place:
                break
        self._at, self._frames = -1, iter(())
        return None
