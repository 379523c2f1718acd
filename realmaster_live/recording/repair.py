"""Finishes a recording whose process was killed: keeps every frame that all its files have.

Each step either is done or can be done again: a repair that is killed is repaired by the next one.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from realmaster_live.errors import RecordingError
from realmaster_live.recording.about import Meta
from realmaster_live.recording.files import PART, unwritable
from realmaster_live.recording.lock import Lock
from realmaster_live.recording.segment import (
    SegmentInfo,
    is_finished,
    kept_files,
    segment_folders,
    takes_of,
)
from realmaster_live.recording.streams import cut, decodable
from realmaster_live.recording.tables import SCHEMAS, keep_table, pa, read_table

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Repaired:
    """What a repair did.

    Attributes:
        finished: names of segments that were open and are whole now.
        emptied: names of segments that were removed because no frame of them could be read.
        frames: that the finished ones keep. cut: rows that had no picture in every stream.
    """

    finished: tuple[str, ...] = ()
    emptied: tuple[str, ...] = ()
    frames: int = 0
    cut: int = 0


def repair(folder: str | Path) -> Repaired:
    """Close what was left open; segments that are whole, or damaged, stay as they are.

    Raises:
        RecordingError: the folder holds no recording, somebody still writes it, or the disk is
            full.
    """
    folder = Path(folder)
    meta = Meta.read(folder)
    with _alone(folder):
        done = Repaired()
        for segment in segment_folders(folder):
            if not is_finished(segment):
                done = _finish(segment, meta, done)
        infos = {path.name: _info(path) for path in segment_folders(folder)}
        if meta.complete and meta.segments == tuple(infos):
            return done
        known = [info for info in infos.values() if info is not None]
        replace(
            meta,
            complete=True,
            segments=tuple(sorted({*meta.segments, *infos} - set(done.emptied))),
            frames=sum(info.frames for info in known),
            lost_frames=sum(take.lost_frames for info in known for take in info.cameras.values()),
            repaired=datetime.now(UTC).isoformat(timespec="seconds"),
        ).write(folder)
    return done


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    try:
        lock = Lock(folder)
    except OSError as error:
        raise unwritable(folder, error) from error
    try:
        yield
    finally:
        lock.release()


def _finish(folder: Path, meta: Meta, done: Repaired) -> Repaired:
    """Cut one open segment to what is good and close it."""
    try:
        for part in folder.rglob(f"*{PART}"):
            part.unlink()
        tables = {name: _rows(folder, name) for name in SCHEMAS}
        frames = tables["frames"]
        counts = {camera: _good_frames(folder, meta, camera, frames) for camera in _cameras(frames)}
        counts = {camera: count for camera, count in counts.items() if count}
        if not counts:
            shutil.rmtree(folder)
            return replace(done, emptied=(*done.emptied, folder.name), cut=done.cut + len(frames))
        kept = _kept_rows(frames, counts)
        keys = set(_keys(kept))
        for camera, count in counts.items():
            for file in meta.cameras[camera].streams.values():
                cut(folder / camera / file, count)
        for name in ("objects", "trust"):
            mask = pa.array([key in keys for key in _keys(tables[name])], pa.bool_())
            keep_table(folder, name, tables[name].filter(mask))
        keep_table(folder, "frames", kept)
        for path in folder.iterdir():  # of cameras that were opened and have no frame
            if path.is_dir() and path.name not in counts:
                shutil.rmtree(path)
        streams = {camera: meta.cameras[camera].streams for camera in counts}
        SegmentInfo(cameras=takes_of(kept, {}), files=kept_files(folder, streams)).write(folder)
    except OSError as error:
        raise unwritable(folder, error) from error
    return replace(
        done,
        finished=(*done.finished, folder.name),
        frames=done.frames + len(kept),
        cut=done.cut + len(frames) - len(kept),
    )


def _rows(folder: Path, name: str) -> Any:
    """Return a table, empty where the process was killed before it was begun."""
    if not any((folder / f"{name}.{suffix}").exists() for suffix in ("parquet", "arrows")):
        return SCHEMAS[name].empty_table()
    return read_table(folder, name)


def _good_frames(folder: Path, meta: Meta, camera: str, frames: Any) -> int:
    """Return how many frames of a camera have a row, and a picture in every stream."""
    rows = frames["camera"].to_pylist().count(camera)
    told = meta.cameras.get(camera)
    files = () if told is None else told.streams.values()
    return min([rows, *(decodable(folder / camera / file) for file in files)]) if files else 0


def _cameras(frames: Any) -> list[str]:
    return list(dict.fromkeys(frames["camera"].to_pylist()))


def _kept_rows(frames: Any, counts: dict[str, int]) -> Any:
    pairs = zip(frames["camera"].to_pylist(), frames["picture"].to_pylist(), strict=True)
    return frames.filter(
        pa.array([picture < counts.get(camera, 0) for camera, picture in pairs], pa.bool_())
    )


def _keys(table: Any) -> list[tuple[str, int]]:
    return list(zip(table["camera"].to_pylist(), table["frame_id"].to_pylist(), strict=True))


def _info(folder: Path) -> SegmentInfo | None:
    try:
        return SegmentInfo.read(folder)
    except RecordingError as error:
        log.warning("%s", error)
        return None
