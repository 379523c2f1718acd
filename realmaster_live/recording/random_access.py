"""Reads single frames of recordings in any order, keeping open what was used last."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Collection, Hashable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from realmaster_live.recording.camera_rows import CameraRows
from realmaster_live.recording.decoders import Decoder, open_decoder
from realmaster_live.recording.reading import Segment, too_short
from realmaster_live.recording.sample import Sample

OPEN_FILES = 24  # films and labels; a film of 1920x1080 holds about 15 MB of pictures
OPEN_TABLES = 48  # of a camera in a segment: 5 to 10 MB with its objects
Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")


class RandomAccess:
    """Reads frames and pictures of segments in any order.

    What it keeps open belongs to one thread of one process: it may be used in several threads,
    forked, or pickled, and then opens its files anew.

    Args:
        files: how many films and labels are kept open. tables: of how many cameras and segments the
            rows are kept.
    """

    def __init__(self, *, files: int = OPEN_FILES, tables: int = OPEN_TABLES) -> None:
        self._most = files, tables
        self._local = threading.local()

    def __reduce__(self) -> tuple[Callable[[int, int], RandomAccess], tuple[int, int]]:
        """Pickle without what is open."""
        return _restored, self._most

    def sample(self, segment: Segment, camera: str, row: int, streams: Collection[str]) -> Sample:
        """Return one frame with its streams, annotations and trust.

        Raises:
            RecordingError: a file or table is missing, damaged or too short.
        """
        rows = self.rows(segment, camera)
        place = int(rows.pictures[row])
        images = {name: self.picture(segment, camera, name, place) for name in streams}
        return rows.sample(row, images, dropped_before=int(rows.dropped[row]))

    def rows(self, segment: Segment, camera: str) -> CameraRows:
        """Return the rows of a camera, whose annotations are read one by one."""
        tables: dict[tuple[Path, str], CameraRows] = self._kept()[1]
        key = segment.folder, camera
        most = self._most[1]
        return _recent(tables, key, lambda: CameraRows.read(segment, camera, one_by_one=True), most)

    def picture(self, segment: Segment, camera: str, stream: str, place: int) -> NDArray[Any]:
        """Return one picture, (H, W, 3) uint8 sRGB, or label.

        Args:
            segment: the segment.
            camera: one of its cameras.
            stream: "sim", "real" or a label.
            place: index in the stream's file.

        Raises:
            RecordingError: the file is missing, damaged or too short.
        """
        decoders: dict[tuple[Path, str, str], tuple[Path, Decoder]] = self._kept()[0]

        def opened() -> tuple[Path, Decoder]:
            path = segment.path(camera, stream)
            return path, open_decoder(path, stream, segment.fps)

        key = segment.folder, camera, stream
        path, decoder = _recent(decoders, key, opened, self._most[0])
        image = decoder.picture(place)
        if image is None:
            raise too_short(path, place)
        segment.check_size(image, camera, path)
        return image

    def close(self) -> None:
        """Close what this thread has open; may be called twice."""
        self._local.__dict__.clear()

    def _kept(self) -> tuple[dict[Any, Any], dict[Any, Any]]:
        """Return the decoders and tables of this thread; a forked process begins with none.

        What it inherits shares the place in each file with its parent.
        """
        process: int | None = getattr(self._local, "process", None)
        if process != os.getpid():
            self._local.process = os.getpid()
            self._local.kept = {}, {}
        kept: tuple[dict[Any, Any], dict[Any, Any]] = self._local.kept
        return kept


def _restored(files: int, tables: int) -> RandomAccess:
    return RandomAccess(files=files, tables=tables)


def _recent(kept: dict[Key, Value], key: Key, make: Callable[[], Value], most: int) -> Value:
    """Return a value, the last one used from now on; drop the one that was not used longest."""
    value = kept.pop(key) if key in kept else make()
    kept[key] = value
    while len(kept) > most:
        del kept[next(iter(kept))]
    return value


def frame_places(
    segments: Sequence[Segment], cameras: Sequence[str]
) -> NDArray[np.int64]:  # (N, 3)
    """Return segment, camera and row of every frame, in the order in which frames are played."""
    found = [np.empty((0, 3), np.int64)]
    for number, segment in enumerate(segments):
        keys = []
        for camera, name in enumerate(cameras):
            table, count = segment.rows("frames", name), segment.count(name)
            stamps = table["timestamp"].to_numpy()[:count]
            numbers = table["frame_id"].to_numpy()[:count]
            rows = np.arange(len(stamps))
            keys.append(np.stack([np.full_like(rows, camera), rows, numbers, stamps], axis=1))
        joined = np.concatenate(keys)
        order = np.lexsort((joined[:, 0], joined[:, 2], joined[:, 3]))
        places = joined[order, :2].astype(np.int64)
        found.append(np.insert(places, 0, number, axis=1))
    return np.concatenate(found)
