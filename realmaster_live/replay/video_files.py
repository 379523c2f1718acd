"""Any frame of any video file. Colour is sRGB uint8 in arrays."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realmaster_live.errors import PairError
from realmaster_live.optional import require

av = require("av", extra="live")

SUFFIXES = (".mp4", ".mkv", ".mov", ".avi", ".webm", ".m4v")
UNDATED = (".avi",)  # containers whose frames have no times of their own
ROUNDING = 2  # frames by which a whole file may fall short of its duration
UNSPECIFIED, HD_ROWS = 2, 720  # a file that names no colour matrix: BT.709 from HD on, or BT.601
PICTURE_ERRORS = (av.FFmpegError, OSError, IndexError, ValueError)


@dataclass(frozen=True, kw_only=True)
class VideoFacts:
    """What a video file says before it is decoded.

    Attributes:
        width: pixels. height: pixels.
        fps: frames a second. times: (T,) seconds at which the frames are shown.
        missing: frames behind the last one that the file's duration promises.
    """

    width: int
    height: int
    fps: float
    times: NDArray[np.float64]
    missing: int = 0


def to_rgb(frame: Any) -> NDArray[np.uint8]:
    """Return a decoded frame as (H, W, 3) sRGB."""
    unnamed = frame.colorspace == UNSPECIFIED and frame.height >= HD_ROWS
    converted = frame.reformat(format="rgb24", src_colorspace="ITU709" if unnamed else None)
    picture: NDArray[np.uint8] = converted.to_ndarray()
    return picture


def describe(path: Path) -> VideoFacts:
    """Return size, rate and times of a video without decoding it; PairError where it has none."""
    return _facts(path, _version(path))[0]


def decode(path: Path, wanted: range | None = None) -> Iterator[Any]:
    """Yield the av.VideoFrame of every wanted index, from the key frame before the first.

    Raises:
        PairError: the file is damaged, or has not so many frames.
    """
    _, stamps = _facts(path, _version(path))
    wanted = range(len(stamps)) if wanted is None else wanted
    if not wanted:
        return
    found = 0
    for frame in _sought(path, stamps, wanted):
        found += 1
        yield frame
    if found == 0:
        for index, frame in enumerate(_frames(path)):
            if index in wanted:
                found += 1
                yield frame
            if found == len(wanted):
                break
    if found == len(wanted):
        return
    raise PairError(
        f"expected frames {wanted[0]} to {wanted[-1]} in {path}, got {found} of {len(wanted)}: "
        "restore the file from a copy, or plan again"
    )


def _sought(path: Path, stamps: Sequence[int], wanted: range) -> Iterator[Any]:
    """Yield wanted frames from the key frame before them, or none where that cannot be trusted."""
    if wanted[0] == 0 or wanted[-1] >= len(stamps) or path.suffix.lower() in UNDATED:
        return
    waiting = {stamps[index] for index in wanted}
    began = False
    try:
        for frame in _frames(path, start=stamps[wanted[0]]):
            if not began and frame.pts > stamps[wanted[0]]:
                return  # the container found no earlier key frame
            if frame.pts in waiting:
                began = True
                waiting.remove(frame.pts)
                yield frame
            if not waiting:
                return
    except PairError:
        if began:
            raise  # else frames before the wanted ones need what lies before the key frame


def _frames(path: Path, start: int = 0) -> Iterator[Any]:
    try:
        with av.open(path) as container:
            stream = container.streams.video[0]
            stream.codec_context.options = {"err_detect": "crccheck+explode"}
            if start:
                container.seek(start, stream=stream)
            for frame in container.decode(stream):
                if frame.is_corrupt:
                    raise ValueError("a damaged frame")
                yield frame
    except PICTURE_ERRORS as error:
        raise _unplayable(path, error) from error


@lru_cache(maxsize=64)
def _facts(path: Path, version: tuple[int, int]) -> tuple[VideoFacts, list[int]]:
    """Return what a file says, and the frames' stamps in order in the unit of the container."""
    del version  # a file that was replaced is looked at again
    try:
        with av.open(path) as container:
            stream = container.streams.video[0]
            packets = [p for p in container.demux(stream) if p.size and not p.is_discard]
            stamps = sorted(p.pts for p in packets if p.pts is not None)
            width, height = stream.codec_context.width, stream.codec_context.height
            rate, base = stream.average_rate or stream.guessed_rate, stream.time_base
            alone = len(container.streams) == 1  # else the duration may be the sound's
            promised = (container.duration or 0) / av.time_base * float(rate or 0) * alone
    except PICTURE_ERRORS as error:
        raise _unplayable(path, error) from error
    if not stamps or len(stamps) < len(packets) or not rate or min(width, height) < 1:
        raise _unplayable(path, f"{len(stamps)} dated frames of {width}x{height}")
    missing = round(promised) - len(stamps)
    facts = VideoFacts(
        width=width,
        height=height,
        fps=float(rate),
        times=np.array(stamps) * float(base),
        missing=missing if missing > ROUNDING else 0,
    )
    return facts, stamps


def _version(path: Path) -> tuple[int, int]:
    try:
        facts = path.stat()
    except OSError as error:
        raise _unplayable(path, error) from error
    return facts.st_mtime_ns, facts.st_size


def _unplayable(path: Path, got: object) -> PairError:
    return PairError(
        f"expected a playable video in {path}, got {got}: restore the file from a copy or leave "
        "it out"
    )
