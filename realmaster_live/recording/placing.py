"""Where a new recording may be written, and how an existing one is replaced.

A recording needs an empty folder. Replacing one removes the files that it names, one by one;
anything else in its folders stays.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from realmaster_live.errors import RecordingError
from realmaster_live.recording.about import META, SCENE, Meta
from realmaster_live.recording.calibration import CALIBRATION
from realmaster_live.recording.files import PART
from realmaster_live.recording.lock import LOCK
from realmaster_live.recording.road_maps import FOLDER as ROAD_MAPS
from realmaster_live.recording.segment import SEGMENT, SEGMENTS, segment_folders
from realmaster_live.recording.sweeps import sweep_files
from realmaster_live.recording.tables import ALL_SCHEMAS
from realmaster_live.system.inside import SafeFolder, kind_of

BEFORE = {LOCK, SCENE}  # what may be in the folder of a new recording


def check_place(folder: Path, *, overwrite: bool) -> None:
    """Refuse a folder that is not empty, unless it holds a recording to replace.

    Raises:
        RecordingError: the folder is not empty, or no folder.
    """
    if not os.path.lexists(folder):
        return
    if not folder.is_dir():
        raise RecordingError(
            f"expected a new folder to record in, got {kind_of(folder)} at {folder}: name another"
        )
    names = sorted({path.name for path in folder.iterdir()} - BEFORE)
    if META in names and not overwrite:
        raise RecordingError(
            f"expected a new folder to record in, got {folder}, which holds a recording: "
            "name another folder, or ask to overwrite it"
        )
    if META in names:
        Meta.read(folder)  # raises if it is not a recording
    elif names:
        shown = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
        raise RecordingError(
            f"expected an empty folder to record in, got {folder}, which holds {shown}: name "
            "another folder, or move these away"
        )


def remove_recording(folder: Path) -> None:
    """Remove the files of a recording, meta.json last; do nothing if there is none.

    Raises:
        RecordingError: the recording cannot be read, so what belongs to it is not known.
        OSError: a file cannot be removed.
    """
    root = SafeFolder(folder, error=RecordingError)
    if not root.exists(META):
        return
    meta = Meta.read(folder)
    if (folder / SEGMENTS).is_symlink():
        raise RecordingError(
            f"expected the segments themselves in {folder}, got a link: remove the recording by "
            "hand, or name another folder"
        )
    tables = [f"{name}.{kind}" for name in ALL_SCHEMAS for kind in ("parquet", "arrows")]
    streams = [
        f"{camera}/{file}"
        for camera, facts in meta.cameras.items()
        for file in facts.streams.values()
    ]
    for segment in segment_folders(folder):
        inside = SafeFolder(segment, error=RecordingError)
        sweeps = sweep_files(segment)
        for name in (*tables, *streams, *sweeps, SEGMENT):
            with contextlib.suppress(RecordingError):  # a link: nothing is removed through it
                inside.target(name).unlink(missing_ok=True)
                inside.target(name + PART).unlink(missing_ok=True)
        for camera in meta.cameras:
            _remove_empty(segment / camera)
        _remove_empty(segment)
    _remove_empty(folder / SEGMENTS)
    for name in meta.road_maps.values():
        with contextlib.suppress(RecordingError):
            root.target(f"{ROAD_MAPS}/{name}").unlink(missing_ok=True)
    _remove_empty(folder / ROAD_MAPS)
    (folder / CALIBRATION).unlink(missing_ok=True)
    (folder / META).unlink()


def _remove_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):  # it holds files that are not ours
        folder.rmdir()
