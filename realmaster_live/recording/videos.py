"""One video of a segment, written so that it is playable after its process was killed."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from realmaster_live.errors import ConfigError, RecordingError
from realmaster_live.optional import require
from realmaster_live.recording.files import replacing, unplayable
from realmaster_live.recording.h264 import H264File
from realmaster_live.recording.readable import EMPTY, Readable
from realmaster_live.system.contents import classify_file
from realmaster_live.system.inside import check_regular

av = require("av", extra="live")

FRAGMENT_S = 0.5  # seconds of the video's clock: the most that a killed process loses
CONTAINERS: Mapping[str, Mapping[str, str]] = {
    ".mp4": {"movflags": "frag_keyframe+empty_moov+default_base_moof", "flush_packets": "1"},
    ".mkv": {"cluster_time_limit": "500", "flush_packets": "1"},
}
# what FFmpeg and PyAV raise for damaged files, in headers and in pictures
UNPLAYABLE = (av.FFmpegError, OSError, ValueError, IndexError, TypeError, ArithmeticError)
DECODING = {"max_pixels": str(2**27)}  # a damaged header may claim any size
FORMATS: Mapping[str, str] = {".mp4": "mp4", ".mkv": "matroska"}
Preset = Literal["ultrafast", "superfast", "veryfast", "medium"]
PRESETS: tuple[str, ...] = get_args(Preset)
WORST_CRF = 51


@dataclass(frozen=True, kw_only=True)
class Pictures:
    """How pictures are encoded.

    Attributes:
        container: "mp4" or "mkv". lossless: keep every bit; files are about ten times as large.
        preset: x264's; the faster, the larger the file.
        crf: x264's constant rate factor, lower is better; 18 is nearly indistinguishable.
    """

    container: Literal["mp4", "mkv"] = "mp4"
    lossless: bool = False
    preset: Preset = "ultrafast"
    crf: int = 18

    def __post_init__(self) -> None:
        """Check the values, once; raises ConfigError."""
        for name, known in (("container", ("mp4", "mkv")), ("preset", PRESETS)):
            value = getattr(self, name)
            if value not in known:
                raise ConfigError(
                    f"expected a {name} among {', '.join(known)}, got {value!r}: choose one"
                )
        if not isinstance(self.crf, int) or not 0 <= self.crf <= WORST_CRF:
            raise ConfigError(
                f"expected a crf from 0 to {WORST_CRF}, got {self.crf!r}: 18 is usual, and lower "
                "is better"
            )


class PictureWriter(H264File):
    """An H.264 file of sRGB pictures, (H, W, 3) uint8, with even sides unless it is lossless.

    Args:
        path: the .mp4 or .mkv to write.
        size: (width, height). fps: frame rate of the file's clock.
    """

    def __init__(
        self, path: Path, size: tuple[int, int], fps: float, pictures: Pictures | None = None
    ) -> None:
        pictures = pictures or Pictures()
        quality = {"qp": "0"} if pictures.lossless else {"crf": str(pictures.crf)}
        super().__init__(
            path,
            size,
            fps,
            key_every=max(1, int(FRAGMENT_S * fps)),
            x264={"preset": pictures.preset, "tune": "zerolatency", **quality},
            container=CONTAINERS[path.suffix],
            pixel_format="rgb24" if pictures.lossless else "yuv420p",
        )


def read_video(path: Path) -> Iterator[NDArray[np.uint8]]:
    """Yield the (H, W, 3) sRGB pictures of a file that PictureWriter wrote.

    Raises:
        RecordingError: it cannot be played, or only up to some picture.
    """
    converter = av.video.reformatter.VideoReformatter()
    for frame in _frames(path):
        yield to_rgb(frame, converter)


def count_pictures(path: Path) -> Readable:
    """Return how many pictures a file holds, by its packets, without decoding them."""
    return _counted(path, _packets)


def decodable_pictures(path: Path) -> Readable:
    """Return how many pictures can be decoded from the beginning on, without a flaw."""
    return _counted(path, _flawless)


def cut_video(path: Path, count: int) -> None:
    """Keep the first pictures of a file, replacing it in one step, without re-encoding.

    Raises:
        RecordingError: the file cannot be written, or has fewer pictures.
    """
    options = dict(CONTAINERS[path.suffix])
    with replacing(path, *UNPLAYABLE) as part:
        with (
            open_video(path) as old,
            av.open(part.absolute(), "w", format=FORMATS[path.suffix], options=options) as new,
        ):
            stream = film_of(old)
            copied = new.add_stream_from_template(stream)
            packets = (packet for packet in old.demux(stream) if packet.size)
            for packet in itertools.islice(packets, count):
                packet.stream = copied
                new.mux(packet)
        kept = _counted(part, _flawless, path.suffix).pictures
        if kept != count:
            raise RecordingError(
                f"expected {count} pictures in {path}, got {kept}: restore the file from a copy"
            )


def open_video(path: Path, suffix: str = "") -> Any:
    """Open a video by its absolute path, as the container that its suffix names."""
    check_regular(path, error=RecordingError)
    return av.open(
        path.absolute(),  # FFmpeg reads a relative name with a colon as a URL
        format=FORMATS.get(suffix or path.suffix),
        metadata_errors="replace",
    )


def film_of(container: Any) -> Any:
    """Return the video stream; ValueError where there is none that can be decoded."""
    streams = container.streams.video
    if not streams or streams[0].codec_context is None:
        raise ValueError("no video stream that can be decoded")
    return streams[0]


def _counted(path: Path, pictures_of: Callable[[Any], Iterator[Any]], suffix: str = "") -> Readable:
    count, opened = 0, False
    try:
        if check_regular(path, error=RecordingError).st_size == 0:
            return EMPTY
        with open_video(path, suffix) as container:
            film_of(container)
            opened = True
            for _ in pictures_of(container):
                count += 1
    except (RecordingError, *UNPLAYABLE) as error:  # what came before the damage counts
        return Readable(pictures=count, opened=opened, problem=_problem(path, error))
    return Readable(pictures=count)


def _problem(path: Path, error: Exception) -> str:
    got, remedy = classify_file(path, str(error), "")
    return f"{got}: {remedy}" if remedy else got


def _packets(container: Any) -> Iterator[Any]:
    for packet in container.demux(film_of(container)):
        if packet.size and not packet.is_corrupt:
            yield packet


def _flawless(container: Any) -> Iterator[Any]:
    stream = film_of(container)
    stream.codec_context.options = {"err_detect": "crccheck+explode", **DECODING}
    for frame in container.decode(stream):
        if frame.is_corrupt:
            return
        yield frame


def to_rgb(frame: Any, converter: Any) -> NDArray[np.uint8]:
    """Return a decoded frame as (H, W, 3) sRGB; `converter` is a VideoReformatter."""
    if not frame.format.is_rgb:
        frame = converter.reformat(
            frame,
            format="rgb24",
            src_colorspace="ITU709",
            src_color_range="MPEG",
            threads=1,
        )
    picture: NDArray[np.uint8] = frame.to_ndarray(format="rgb24")
    return picture


def _frames(path: Path) -> Iterator[Any]:
    try:
        with open_video(path) as container:
            stream = film_of(container)
            stream.codec_context.options = dict(DECODING)
            yield from container.decode(stream)
    except UNPLAYABLE as error:
        raise unplayable(path, error) from error
