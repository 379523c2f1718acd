"""Footage: what one input is, and how it is to be read. `kinds` finds and opens it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from realmaster_live.errors import PairError
from realmaster_live.frames.chunk import Frame
from realmaster_live.frames.source_info import CameraInfo, SourceInfo
from realmaster_live.moved import moved_names
from realmaster_live.system.contents import sha256_of

Size = tuple[int, int]  # width, height
Kind = Literal["recording", "video", "pictures", "game", "carla-log"]
FOV_DEG = 80.0  # of footage whose lens is not known


@dataclass(frozen=True, kw_only=True)
class Footage:
    """One input: consecutive frames of one drive.

    Attributes:
        kind: which of the five. name: what to call it. path: where it is.
        cameras: name -> width and height of its pictures, pixels.
        fps: frames a second. frames: how many are to come, of all cameras.
        sha256: of everything that decides its frames.
        origin: where it is from: town, route, weather and so on.
        options: what opening it needs besides the path.
    """

    kind: Kind
    name: str
    path: str
    cameras: Mapping[str, Size]
    fps: float
    frames: int
    sha256: str
    origin: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How footage is read.

    Attributes:
        fps: of folders of pictures that do not tell theirs, of the simulation while a log is
            replayed, and what videos are resampled to; None for their own.
        labels: of recordings and logs; None for all that are there.
        size: width and height of the realized pictures, and of the cameras in a replayed log; None
            for the footage's own, or the nearest that fits the model.
        server: host and port of the server for logs.
    """

    fps: float | None = None
    labels: tuple[str, ...] | None = None
    size: Size | None = None
    server: tuple[str, int] | None = None


def info_of(footage: Footage) -> SourceInfo:
    """Return what is known of where footage is from."""
    origin = SourceInfo.of(footage.origin)
    cameras = {name: CameraInfo(width=w, height=h) for name, (w, h) in footage.cameras.items()}
    return replace(origin, cameras=origin.cameras or cameras, fps=footage.fps)


class FootageSource:
    """A source of the frames of footage that lies in files.

    Args:
        footage: what is read. read: yields all of its frames, in order.
    """

    def __init__(self, footage: Footage, read: Callable[[Footage], Iterator[Frame]]) -> None:
        self._footage, self._read = footage, read
        self._closed = False

    @property
    def info(self) -> SourceInfo:
        """What is known of where the footage is from."""
        return info_of(self._footage)

    def frames(self) -> Iterator[Frame]:
        """Yield the frames until `close`; PairError names a file that cannot be read."""
        for frame in self._read(self._footage):
            if self._closed:
                return
            yield frame

    def close(self) -> None:
        """End `frames`; may be called twice."""
        self._closed = True


def hash_files(*paths: Path) -> str:
    """Return one hash over the names and bytes of regular files.

    Raises:
        PairError: a file is missing, or is none that can be read to its end, such as a FIFO.
    """
    digest = hashlib.sha256()
    for path in paths:
        digest.update(os.fsencode(path.name) + bytes.fromhex(sha256_of(path, error=PairError)))
    return digest.hexdigest()


__getattr__ = moved_names(__name__, {"find_footage": "realmaster_live.replay.kinds"})
