"""Any frame of any video file, upright, in square pixels, as sRGB uint8."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realmaster_live.errors import PairError, reason
from realmaster_live.optional import require
from realmaster_live.replay.video_colour import (
    UNSPECIFIED,
    Colours,
    check_colours,
    refuse_colours,
    to_srgb,
)
from realmaster_live.replay.video_rate import constant_rate, typical_rate
from realmaster_live.replay.video_shape import (
    UPRIGHT,
    Orientation,
    first_field,
    orientation_of,
    shown_width,
)
from realmaster_live.system.contents import ENOUGH, OTHER, classify_content
from realmaster_live.system.inside import check_regular, open_regular

av = require("av", extra="live")

SUFFIXES = (".mp4", ".mkv", ".mov", ".avi", ".webm", ".m4v")
UNDATED = (".avi",)  # containers whose frames have no times of their own
DOLBY_VISION = ("dvh1", "dvhe")  # codec tags; its profile 5 has no colours that others can show
ROUNDING = 2  # frames by which a whole file may fall short of its duration
DISPOSITION = av.stream.Disposition
STILL = DISPOSITION.attached_pic | DISPOSITION.timed_thumbnails  # streams of covers and thumbnails
PICTURE_ERRORS = (av.FFmpegError, OSError, IndexError, ValueError, TypeError, ArithmeticError)
DEMUXERS = "mov,matroska,avi,mpeg,mpegts,flv,asf,ogg,png_pipe,jpeg_pipe"
"""What a file may be: not a playlist, which would make FFmpeg open other files and addresses."""
MAX_PIXELS = 2**27  # of a frame; a damaged header may claim any size


@dataclass(frozen=True, kw_only=True)
class VideoFacts:
    """Facts about a video file, from its container and its first frame.

    Attributes:
        width: of the pictures as they are shown, pixels. height: likewise.
        fps: frames a second; of a variable rate, that of most steps.
        times: (T,) seconds at which the frames are shown.
        missing: number of frames by which the file falls short of its duration.
        stored: width and height of the decoded frames. aspect: width of a pixel over its height.
        orientation: from the decoded frames to those shown.
        colours: as its frames are coded.
    """

    width: int
    height: int
    fps: float
    times: NDArray[np.float64]
    missing: int = 0
    stored: tuple[int, int]
    colours: Colours
    aspect: float = 1.0
    orientation: Orientation = UPRIGHT


def describe(path: Path) -> VideoFacts:
    """Return size, rate and times of a video; decodes only its first frame.

    Raises:
        PairError: it is no playable video, or its colours or pixels are of no usual kind.
    """
    return _facts(path, _version(path))[0]


def pictures(path: Path, indices: range | None = None) -> Iterator[NDArray[np.uint8]]:
    """Yield the picture (H, W, 3) at every index, all of the size that `describe` says.

    Raises:
        PairError: the file is damaged, has too few frames, or its frames change their size.
    """
    facts = describe(path)
    for frame in decode(path, indices):
        yield to_picture(frame, facts, path)


def to_picture(frame: Any, facts: VideoFacts, path: Path) -> NDArray[np.uint8]:
    """Return a decoded frame of a film as it is shown: (H, W, 3) sRGB."""
    if (frame.width, frame.height) != facts.stored:
        raise PairError(
            f"expected frames of {facts.stored[0]}x{facts.stored[1]} as the first in {path}, "
            f"got one of {frame.width}x{frame.height}: cut the film where its size changes"
        )
    width = shown_width(frame.width, facts.aspect)
    picture = to_srgb(frame, facts.colours, width=width)
    if frame.interlaced_frame:
        picture = first_field(picture)
    return facts.orientation.apply(picture)


def decode(path: Path, indices: range | None = None) -> Iterator[Any]:
    """Yield the av.VideoFrame at every index, from the key frame before the first.

    Raises:
        PairError: the file is damaged, or has too few frames.
    """
    _, stamps = _facts(path, _version(path))
    indices = range(len(stamps)) if indices is None else indices
    if not indices:
        return
    found = 0
    for frame in _from_key_frame(path, stamps, indices):
        found += 1
        yield frame
    if found == 0:
        for index, frame in enumerate(_frames(path)):
            if index in indices:
                found += 1
                yield frame
            if found == len(indices):
                break
    if found == len(indices):
        return
    raise PairError(
        f"expected frames {indices[0]} to {indices[-1]} in {path}, got {found} of {len(indices)}: "
        "restore the file from a copy, or plan again"
    )


def _from_key_frame(path: Path, stamps: Sequence[int], indices: range) -> Iterator[Any]:
    """Yield the frames from the key frame before them, or none where that cannot be trusted."""
    if indices[0] == 0 or indices[-1] >= len(stamps) or path.suffix.lower() in UNDATED:
        return
    waiting = {stamps[index] for index in indices}
    began = False
    try:
        for frame in _frames(path, start=stamps[indices[0]]):
            if not began and frame.pts > stamps[indices[0]]:
                return  # the container found no earlier key frame
            if frame.pts in waiting:
                began = True
                waiting.remove(frame.pts)
                yield frame
            if not waiting:
                return
    except PairError:
        if began:
            raise  # else the first frames need what lies before the key frame


def _frames(path: Path, start: int = 0) -> Iterator[Any]:
    try:
        with _opened(path) as container:
            stream = _film(container)
            stream.codec_context.options = {
                "err_detect": "crccheck+explode",
                "max_pixels": str(MAX_PIXELS),
            }
            if start:
                container.seek(start, stream=stream)
            for frame in container.decode(stream):
                if frame.is_corrupt:
                    raise ValueError("a damaged frame")
                yield frame
    except PICTURE_ERRORS as error:
        raise _unplayable(path, error) from error


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Open a file through Python: FFmpeg takes some names for addresses, and only UTF-8."""
    with (
        open_regular(path, error=PairError) as file,
        av.open(file, options={"format_whitelist": DEMUXERS}, metadata_errors="replace") as film,
    ):
        yield film


def _film(container: Any) -> Any:
    """Return the first stream of moving pictures: covers and thumbnails are none."""
    for stream in container.streams.video:
        if stream.codec_context is not None and not stream.disposition & STILL:
            return stream
    raise ValueError("no stream of moving pictures")


@lru_cache(maxsize=64)
def _facts(path: Path, version: tuple[int, int]) -> tuple[VideoFacts, list[int]]:
    """Return a file's facts, and the frames' timestamps in order in the unit of the container."""
    del version  # a file that was replaced is looked at again
    try:
        with _opened(path) as container:
            stream = _film(container)
            packets = [p for p in container.demux(stream) if p.size and not p.is_discard]
            stamps = sorted(p.pts for p in packets if p.pts is not None)
            rates = (stream.average_rate, stream.guessed_rate, stream.base_rate)
            declared = [float(rate) for rate in rates if rate]
            unit = float(stream.time_base)
            alone = len(container.streams) == 1  # else the duration may be the sound's
            duration = (container.duration or 0) / av.time_base * alone
            coded = stream.codec_context
            stored = coded.width, coded.height
            aspect = float(coded.sample_aspect_ratio or stream.sample_aspect_ratio or 1)
            stated, orientation = Colours.of(coded), UPRIGHT
            tag = str(coded.codec_tag)
        first, decoded = _first_frame(path)
        colours = decoded.filled_up(stated)
        if first is not None:
            stored, orientation = (first.width, first.height), orientation_of(first)
        if not stamps or len(stamps) < len(packets) or not declared or min(stored) < 1:
            raise ValueError(f"{len(stamps)} dated frames of {stored[0]}x{stored[1]}")
        size = shown_width(stored[0], aspect), stored[1]
    except PICTURE_ERRORS as error:
        raise _unplayable(path, error) from error
    try:
        if tag in DOLBY_VISION and colours.transfer == UNSPECIFIED:
            raise ValueError("colours of Dolby Vision alone (profile 5)")
        check_colours(colours)
    except ValueError as problem:
        raise refuse_colours(path, problem) from problem
    times = np.array(stamps) * unit
    fps = constant_rate(times, unit, declared) or typical_rate(times, unit, declared)
    # some containers count their duration from 0, others from the first frame
    missing = min(round(duration * fps) - len(stamps), round((duration - times[-1]) * fps) - 1)
    facts = VideoFacts(
        width=size[orientation.transposed],
        height=size[not orientation.transposed],
        fps=fps,
        times=times,
        missing=missing if missing > ROUNDING else 0,
        stored=stored,
        aspect=aspect,
        orientation=orientation,
        colours=colours,
    )
    return facts, stamps


def _first_frame(path: Path) -> tuple[Any, Colours]:
    """Return the first frame that can be decoded, or None, and what the decoder says of it.

    It knows more than the container: an HLG film may say only in a message between its frames that
    it is one, so that older displays take it for BT.2020 (ITU-T H.265, D.2.38).
    """
    with suppress(av.FFmpegError), _opened(path) as container:
        stream = _film(container)
        stream.codec_context.options = {"max_pixels": str(MAX_PIXELS)}
        frame = next(container.decode(stream), None)
        return frame, Colours.of(stream.codec_context)
    return None, Colours()


def _version(path: Path) -> tuple[int, int]:
    facts = check_regular(path, error=PairError)
    return facts.st_mtime_ns, facts.st_size


def _unplayable(path: Path, got: object) -> PairError:
    with open_regular(path, error=PairError) as file:
        content, remedy = classify_content(file.read(ENOUGH))
    if content != OTHER:
        return PairError(f"expected a playable video in {path}, got {content}: {remedy}")
    text = reason(got) if isinstance(got, BaseException) else str(got)
    return PairError(
        f"expected a playable video in {path}, got {text}: restore the file from a copy or leave "
        "it out"
    )
