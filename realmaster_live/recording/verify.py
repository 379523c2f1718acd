"""Checks a recording: what it holds and what is wrong with it."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, Literal

from realmaster_live.errors import RecordingError
from realmaster_live.frames.classes import CLASS_NAMES
from realmaster_live.recording.about import CLASS_MAP, Meta
from realmaster_live.recording.aside import read_notes
from realmaster_live.recording.calibration import read_calibration
from realmaster_live.recording.files import PART
from realmaster_live.recording.lock import is_locked
from realmaster_live.recording.reading import Segment, open_segments
from realmaster_live.recording.road_maps import read_road_maps
from realmaster_live.recording.segment import SEGMENTS, SegmentInfo
from realmaster_live.recording.sweeps import SUFFIX, count_sweeps, sweep_files
from realmaster_live.recording.tables import ALL_SCHEMAS, SCHEMAS, has_table
from realmaster_live.system.contents import sha256_of
from realmaster_live.system.inside import SafeFolder, regular_files

State = Literal["whole", "open", "damaged", "missing"]


@dataclass(frozen=True, kw_only=True)
class SegmentFinding:
    """What one segment holds.

    Attributes:
        state: "open" segments were never closed, "damaged" ones are not as they were recorded.
        frames: camera -> rows that have a picture in every stream.
        pictures: camera -> stream -> pictures in its file. rows: table -> rows.
        sweeps: lidar or radar -> sweeps in its file. missing: sensor -> ticks without its reading.
        lost_frames: missing before and between its frames, as counted while recording.
        bytes: of all its files. problems: one sentence each.
    """

    name: str
    state: State
    frames: Mapping[str, int] = field(default_factory=dict)
    pictures: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    rows: Mapping[str, int] = field(default_factory=dict)
    sweeps: Mapping[str, int] = field(default_factory=dict)
    missing: Mapping[str, int] = field(default_factory=dict)
    lost_frames: int = 0
    bytes: int = 0
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What a recording holds.

    Attributes:
        is_recording: a process is writing it. problems: of the recording, one sentence each.
        notes: on other files that are left alone, one sentence each.
    """

    folder: Path
    meta: Meta
    segments: tuple[SegmentFinding, ...]
    is_recording: bool
    problems: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @property
    def frames(self) -> int:
        """Return how many frames of all cameras can be read."""
        return sum(sum(segment.frames.values()) for segment in self.segments)

    @property
    def is_whole(self) -> bool:
        """Return whether nothing is wrong."""
        return not self.problems and not any(segment.problems for segment in self.segments)

    def lines(self) -> list[str]:
        """Return the findings as text, segment by segment."""
        meta = self.meta
        lost = sum(segment.lost_frames for segment in self.segments)
        lines = [
            f"{self.folder}: {meta.about.town or 'unnamed town'}, {meta.created}, {meta.software}",
            f"{len(meta.cameras)} cameras, {len(self.segments)} segments, {self.frames} frames, "
            f"{lost} lost on the way",
        ]
        for segment in self.segments:
            lines.append(
                f"  {segment.name}  {segment.state:8}{segment.bytes / 1e6:9.1f} MB  "
                + ", ".join(f"{number} rows in {name}" for name, number in segment.rows.items())
            )
            for camera, streams in segment.pictures.items():
                counts = "  ".join(f"{name} {number}" for name, number in streams.items())
                lines.append(f"      {camera}: {segment.frames.get(camera, 0)} frames;  {counts}")
            if segment.sweeps or segment.missing:
                found = [f"{name} {number} sweeps" for name, number in segment.sweeps.items()]
                found += [f"{name} missing {n} times" for name, n in segment.missing.items()]
                lines.append(f"      sensors: {', '.join(found)}")
            lines += [f"    ! {problem}" for problem in segment.problems]
        lines += [f"! {problem}" for problem in self.problems]
        lines += [f"- {note}" for note in self.notes]
        if self.is_whole:
            lines.append("whole: everything that was recorded is there")
        return lines


def verify(folder: str | Path, *, decode: bool = False) -> Findings:
    """Check every file of a recording; `decode` also plays every video to its end.

    Raises:
        RecordingError: the folder holds no recording that this release can read.
    """
    folder = Path(folder)
    meta = Meta.read(folder)
    segments = open_segments(folder, meta)
    found = tuple(_check_segment(segment, meta, decode) for segment in segments)
    problems, recording = [], is_locked(folder)
    if recording:
        problems.append("it is being written right now: look again when that has ended")
    elif not meta.complete:
        problems.append("it was interrupted: run realmaster dataset repair")
    elif sum(sum(segment.frames.values()) for segment in found) != meta.frames:
        problems.append(
            f"{meta.frames} frames were recorded, "
            f"{sum(sum(segment.frames.values()) for segment in found)} are there"
        )
    if meta.class_map != CLASS_MAP:
        problems.append(f"its class map {meta.class_map!r} is not known; {CLASS_MAP!r} is")
    try:
        missing = meta.cameras.keys() - read_calibration(folder).keys()
        problems += [f"calib.json has nothing about {camera}" for camera in sorted(missing)]
    except RecordingError as error:
        problems.append(str(error))
    try:
        read_road_maps(folder, meta)
    except RecordingError as error:
        problems.append(str(error))
    lost, kept = _set_aside(folder)
    return Findings(
        folder=folder,
        meta=meta,
        segments=found,
        is_recording=recording,
        problems=(*problems, *lost),
        notes=(*kept, *_foreign_folders(folder, segments)),
    )


def _set_aside(folder: Path) -> tuple[list[str], list[str]]:
    """Return what repairs set aside: as losses, and as what a killed process costs."""
    lost, kept = [], []
    for name, notes in read_notes(folder).items():
        losses = [note for note in notes if note.is_loss]
        lost += [f"{note.what} was set aside in {name}: {note.why}" for note in losses]
        if not losses:
            kept.append(f"{name} holds what a repair cut: delete it when you no longer need it")
    return lost, kept


def _foreign_folders(folder: Path, segments: list[Segment]) -> list[str]:
    inside, ours = folder / SEGMENTS, {segment.folder.name for segment in segments}
    if not inside.is_dir():
        return []
    names = sorted(path.name for path in inside.iterdir() if path.name not in ours)
    return [
        f"{SEGMENTS}/{name} is no segment of this recording and is left alone" for name in names
    ]


def _check_segment(segment: Segment, meta: Meta, decode: bool) -> SegmentFinding:
    folder = segment.folder
    if not folder.is_dir():
        return SegmentFinding(
            name=folder.name, state="missing", problems=("its folder is not there",)
        )
    problems: list[str] = []
    state: State = "whole"
    info = None
    try:
        info = segment.info
    except RecordingError as error:
        state = "damaged"
        problems.append(str(error))
    else:
        if info is None:
            state = "open"
            problems.append("it was never closed")
        else:
            problems += _altered(folder, info)
    tables, unreadable = _tables(segment)
    problems += unreadable
    pictures: dict[str, dict[str, int]] = {}
    frames: dict[str, int] = {}
    for camera in meta.cameras:
        if not (folder / camera).is_dir():
            continue
        pictures[camera], unopened = _pictures(segment, meta, camera, decode)
        problems += unopened
        try:
            frames[camera] = segment.count(camera)
        except RecordingError:  # the reason is among the problems already
            frames[camera] = 0
    if info is not None:
        problems += _missing_pictures(info, pictures)
        problems += _missing_streams(info, meta)
        problems += [
            f"{path.relative_to(folder)} is an unfinished file"
            for path in regular_files(folder)
            if path.name.endswith(PART)
        ]
    sweeps, unreadable = _sweeps(segment)
    problems += unreadable
    problems += _orphan_rows(tables) + _uncovered(info, tables)
    if problems and state == "whole":
        state = "damaged"
    dropped = tables["frames"]["dropped_before"].to_pylist() if "frames" in tables else []
    return SegmentFinding(
        name=folder.name,
        state=state,
        frames=frames,
        pictures=pictures,
        rows={name: len(table) for name, table in tables.items()},
        sweeps=sweeps,
        missing=_missing_readings(tables),
        lost_frames=sum(dropped),
        bytes=sum(path.stat().st_size for path in regular_files(folder)),
        problems=tuple(problems),
    )


def _pictures(
    segment: Segment, meta: Meta, camera: str, decode: bool
) -> tuple[dict[str, int], list[str]]:
    """Return stream -> pictures, of the files that can be opened, and which cannot."""
    counts, problems = {}, []
    for stream, file in meta.cameras[camera].streams.items():
        if not os.path.lexists(segment.folder / camera / file):
            continue
        readable = segment.readable(camera, stream, decode=decode)
        if readable.opened:
            counts[stream] = readable.pictures
        else:
            problems.append(f"{camera}/{file} cannot be opened: {readable.problem}")
    return counts, problems


def _missing_streams(info: SegmentInfo, meta: Meta) -> list[str]:
    """Return which streams a repair had to finish the segment without."""
    return [
        f"{camera} has no {stream} here"
        for camera in info.cameras
        for stream, file in (meta.cameras[camera].streams if camera in meta.cameras else {}).items()
        if f"{camera}/{file}" not in info.files
    ]


def _altered(folder: Path, info: SegmentInfo) -> list[str]:
    """Return what is not as the recorder closed it."""
    found, files = [], SafeFolder(folder, error=RecordingError)
    for file, kept in info.files.items():
        try:
            if not files.exists(file):
                found.append(f"{file} is missing")
                continue
            path = files.file(file)
            size = path.stat().st_size
            if size != kept.bytes:
                found.append(f"{file} has {size} bytes, {kept.bytes} were recorded")
            elif sha256_of(path, error=RecordingError) != kept.sha256:
                found.append(f"{file} has other bytes than were recorded")
        except RecordingError as error:
            found.append(str(error))
    return found


def _tables(segment: Segment) -> tuple[dict[str, Any], list[str]]:
    tables, problems = {}, []
    for name in ALL_SCHEMAS:
        try:
            if name in SCHEMAS or has_table(segment.folder, name):
                tables[name] = segment.read(name)
        except RecordingError as error:
            problems.append(str(error))
    return tables, problems


def _sweeps(segment: Segment) -> tuple[dict[str, int], list[str]]:
    """Return sensor -> sweeps, of the files that can be opened, and what is wrong with them."""
    counts, problems = {}, []
    for file in sweep_files(segment.folder):
        readable = count_sweeps(segment.folder / file)
        if readable.opened:
            counts[file.removesuffix(SUFFIX)] = readable.pictures
        if readable.problem:
            problems.append(f"{file} cannot be read to its end: {readable.problem}")
    return counts, problems


def _missing_readings(tables: Mapping[str, Any]) -> dict[str, int]:
    if "ego" not in tables:
        return {}
    names = chain.from_iterable(row or () for row in tables["ego"]["missing"].to_pylist())
    return dict(Counter(names))


def _missing_pictures(info: SegmentInfo, pictures: Mapping[str, Mapping[str, int]]) -> list[str]:
    return [
        f"{camera} has {number} pictures of {stream}, {take.frames} were recorded"
        for camera, take in info.cameras.items()
        for stream, number in pictures.get(camera, {}).items()
        if number != take.frames
    ]


def _orphan_rows(tables: Mapping[str, Any]) -> list[str]:
    """Return which rows belong to no frame."""
    if "frames" not in tables:
        return []
    known = set(_keys(tables["frames"]))
    found = []
    for name in ("objects", "trust"):
        orphans = sum(key not in known for key in _keys(tables[name])) if name in tables else 0
        if orphans:
            found.append(f"{orphans} rows of {name} belong to no frame")
    return found


def _uncovered(info: SegmentInfo | None, tables: Mapping[str, Any]) -> list[str]:
    """Return which classes the class map does not cover."""
    known = range(len(CLASS_NAMES))
    ids = set(tables["objects"]["class_id"].to_pylist()) if "objects" in tables else set()
    found = [f"the class map does not cover class {i} of objects" for i in sorted(ids - {*known})]
    for camera, take in (info.cameras if info is not None else {}).items():
        if take.unknown_classes:
            listed = ", ".join(str(number) for number in take.unknown_classes)
            found.append(f"the class map does not cover class {listed} in {camera}'s semantic")
    return found


def _keys(table: Any) -> list[tuple[str, int]]:
    return list(zip(table["camera"].to_pylist(), table["frame_id"].to_pylist(), strict=True))
