"""Finishes an interrupted recording and rebuilds damaged segment.json files.

Nothing is deleted: what is not kept is set aside with the reason. Every step can be repeated, so a
repair that was killed is completed by the next one.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from realmaster_live.errors import RecordingError
from realmaster_live.recording.about import Meta
from realmaster_live.recording.aside import Aside, Note
from realmaster_live.recording.files import unwritable
from realmaster_live.recording.lock import Lock
from realmaster_live.recording.mending import mend_segment
from realmaster_live.recording.reading import is_ours
from realmaster_live.recording.segment import (
    SegmentInfo,
    is_finished,
    segment_folders,
)
from realmaster_live.recording.tables import SCHEMAS, has_table

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Repaired:
    """What a repair did.

    Attributes:
        finished: names of segments that were open, or had a damaged segment.json.
        emptied: names of segments that were set aside because no frame of them could be read.
        frames: that the finished ones keep. cut: rows that had no picture in every stream.
        set_aside: what was moved out of the recording and why. aside: the folder it is in now.
    """

    finished: tuple[str, ...] = ()
    emptied: tuple[str, ...] = ()
    frames: int = 0
    cut: int = 0
    set_aside: tuple[Note, ...] = ()
    aside: Path | None = None


def repair(folder: str | Path) -> Repaired:
    """Finish open segments; whole segments stay as they are.

    A segment whose files differ from what its segment.json says stays as it is too.

    Raises:
        RecordingError: the folder holds no recording, a process still writes it, its segments or
            the cameras in them are behind a link, or the disk is full.
    """
    folder = Path(folder).absolute()
    meta = Meta.read(folder)
    with _alone(folder):
        aside, done = Aside(folder), Repaired()
        try:
            for segment in segment_folders(folder):
                if not _is_open(segment, meta):
                    continue
                _check_no_link(segment, meta)
                mended = mend_segment(segment, meta, aside)
                names = (segment.name,)
                done = replace(
                    done,
                    finished=done.finished + (names if mended.frames else ()),
                    emptied=done.emptied + (() if mended.frames else names),
                    frames=done.frames + mended.frames,
                    cut=done.cut + mended.cut,
                )
        except OSError as error:
            raise unwritable(folder, error) from error
        done = replace(done, set_aside=tuple(aside.notes), aside=aside.folder)
        _complete(folder, meta, done)
    return done


def _complete(folder: Path, meta: Meta, done: Repaired) -> None:
    """Update meta.json if the segments changed."""
    infos = {path.name: _info(path) for path in segment_folders(folder) if is_ours(path, meta)}
    is_new = bool(done.finished or done.emptied or infos.keys() - set(meta.segments))
    if meta.complete and not is_new:
        return
    known = [info for info in infos.values() if info is not None]
    for take in (take for info in known for take in info.cameras.values()):
        meta = meta.with_conditions(take.town or "", take.weather or "")
    replace(
        meta,
        complete=True,
        segments=tuple(sorted({*meta.segments, *infos} - set(done.emptied))),
        frames=sum(info.frames for info in known),
        lost_frames=sum(take.lost_frames for info in known for take in info.cameras.values()),
        repaired=datetime.now(UTC).isoformat(timespec="seconds"),
    ).write(folder)


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


def _is_open(segment: Path, meta: Meta) -> bool:
    """Return whether a segment is ours and has no segment.json that can be read."""
    if not is_finished(segment):
        return is_ours(segment, meta)
    return any(has_table(segment, name) for name in SCHEMAS) and _info(segment) is None


def _check_no_link(segment: Path, meta: Meta) -> None:
    for path in (segment.parent, segment, *(segment / camera for camera in meta.cameras)):
        if path.is_symlink():
            raise RecordingError(
                f"expected the segments themselves in {segment.parent.parent}, got a link at "
                f"{path}: nothing is written through links, so move its target back there to "
                "repair it"
            )


def _info(folder: Path) -> SegmentInfo | None:
    try:
        return SegmentInfo.read(folder)
    except RecordingError as error:
        log.info("%s", error)
        return None
