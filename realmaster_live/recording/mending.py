"""Finishes one segment that was never closed, or whose segment.json is damaged.

Each camera is cut to the frames that all of its streams have, as a killed process left them. A
stream that is much shorter than the others, or cannot be opened, is damaged: it is set aside, and
the others are kept. The original of a file that is cut is set aside as well.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from realmaster_live.errors import RecordingError
from realmaster_live.frames.classes import CLASS_NAMES
from realmaster_live.frames.source_info import SourceInfo
from realmaster_live.recording.about import Meta
from realmaster_live.recording.aside import Aside
from realmaster_live.recording.ego_schemas import EGO_SCHEMAS
from realmaster_live.recording.files import replacing
from realmaster_live.recording.packing import PACKINGS
from realmaster_live.recording.readable import Readable
from realmaster_live.recording.reading import Segment
from realmaster_live.recording.segment import (
    SEGMENT,
    CameraSpan,
    SegmentInfo,
    is_finished,
    spans_of,
    stored_files,
)
from realmaster_live.recording.streams import count, cut, read_stream
from realmaster_live.recording.sweeps import count_sweeps, finish_sweeps, is_whole, sweep_files
from realmaster_live.recording.tables import (
    SCHEMAS,
    compute,
    has_table,
    keep_table,
    pa,
    read_journal,
    read_table,
)
from realmaster_live.recording.videos import FRAGMENT_S


def mend_ego(folder: Path, tables: Mapping[str, Any], aside: Aside) -> tuple[str, ...]:
    """Finish the files in their place; return the names of those that the segment keeps.

    Raises:
        RecordingError: something cannot be written.
        OSError: likewise.
    """
    kept = []
    for name in EGO_SCHEMAS:
        if has_table(folder, name):
            keep_table(folder, name, tables[name])
            kept.append(f"{name}.parquet")
    for name in sweep_files(folder):
        path = folder / name
        readable = count_sweeps(path)
        if not readable.pictures:
            why = readable.problem or "nothing had reached the disk"
            aside.move(path, f"no sweep of it can be read: {why}", is_loss=not readable.opened)
            continue
        if readable.problem or not is_whole(path):
            if readable.problem:
                why = f"only {readable.pictures} sweeps could be read: {readable.problem}"
                aside.keep(path, why, is_loss=True)
            with replacing(path) as part:
                finish_sweeps(path, part)
        kept.append(name)
    return tuple(kept)


@dataclass(frozen=True, kw_only=True)
class Mended:
    """The result of finishing a segment.

    Attributes:
        frames: that are kept, of all cameras; 0 where the segment was set aside.
        cut: rows that had no picture in every stream.
    """

    frames: int
    cut: int


@dataclass(frozen=True, kw_only=True)
class _Camera:
    """What of one camera is kept.

    Attributes:
        keep: frames. rows: that are in order from the first on.
        streams: stream -> file, of those that are kept.
        found: stream -> how far its file can be read, of the files that are there.
        gone: streams whose files are not there, although all are made before the first row.
        is_loss: more is lost than a killed process costs.
    """

    keep: int
    rows: int
    streams: Mapping[str, str]
    found: Mapping[str, Readable]
    gone: tuple[str, ...]
    is_loss: bool


def mend_segment(folder: Path, meta: Meta, aside: Aside) -> Mended:
    """Finish a segment in its place; each step is done already or can be done again.

    Raises:
        RecordingError: something cannot be written.
        OSError: likewise.
    """
    was_closed = is_finished(folder)  # only its segment.json may be damaged
    tables, problems = _read_tables(folder, SCHEMAS)
    ego, problems_of_ego = _read_tables(folder, EGO_SCHEMAS)
    problems |= problems_of_ego
    frames = tables["frames"]
    segment = Segment(folder, meta, named=False, verify=False)
    cameras = {name: _judge(segment, meta, name, frames) for name in meta.cameras}
    if not any(camera.keep for camera in cameras.values()):
        _set_all_aside(folder, cameras, problems, aside)
        return Mended(frames=0, cut=len(frames))
    for name, problem in problems.items():
        for path in (folder / f"{name}.parquet", folder / f"{name}.arrows"):
            if os.path.lexists(path):
                aside.keep(path, f"{name} could be read only in part: {problem}", is_loss=True)
    for name, camera in cameras.items():
        _cut_camera(folder / name, camera, meta.cameras[name].streams, aside, was_closed)
    kept = {"frames": _kept_rows(frames, {name: facts.keep for name, facts in cameras.items()})}
    keys = set(_keys(kept["frames"]))
    for name in ("objects", "trust"):
        mask = pa.array([key in keys for key in _keys(tables[name])], pa.bool_())
        kept[name] = tables[name].filter(mask)
    is_loss = any(camera.is_loss for camera in cameras.values())
    for name in ("objects", "trust", "frames"):
        cut_rows = len(tables[name]) - len(kept[name])
        if cut_rows:
            why = f"{cut_rows} of its {len(tables[name])} rows belong to no frame that is kept"
            place = aside.place(folder / f"{name}.parquet", why, is_loss=is_loss)
            if not place.exists():
                keep_table(place.parent, name, tables[name])
        keep_table(folder, name, kept[name])
    others = mend_ego(folder, ego, aside)
    if was_closed:
        aside.move(folder / SEGMENT, "it could not be read and was rebuilt", is_loss=False)
    streams = {name: camera.streams for name, camera in cameras.items() if camera.keep}
    unknown = {name: _unknown_classes(folder / name, files) for name, files in streams.items()}
    spans = spans_of(kept["frames"], unknown)
    SegmentInfo(
        cameras=spans,
        files=stored_files(folder, streams, others),
        source=_source(meta, [*spans.values()]),
    ).write(folder)
    return Mended(frames=len(kept["frames"]), cut=len(frames) - len(kept["frames"]))


def _source(meta: Meta, spans: Sequence[CameraSpan]) -> SourceInfo | None:
    """Return the recording's source in the town and weather of a segment's first frame."""
    if not spans or spans[0].town is None or spans[0].weather is None:
        return None  # version 2
    return meta.about.source.in_conditions(spans[0].town, spans[0].weather)


def _read_tables(folder: Path, schemas: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the tables as far as they are readable, and the problems of those that are damaged."""
    tables, problems = {}, {}
    for name, schema in schemas.items():
        journal, table = folder / f"{name}.arrows", folder / f"{name}.parquet"
        tables[name] = schema.empty_table()
        try:
            if has_table(folder, name):
                tables[name] = read_table(folder, name)
            if not os.path.lexists(table) and os.path.lexists(journal):
                read_journal(journal, tolerate="cut")
        except RecordingError as error:
            problems[name] = str(error)
            if os.path.lexists(table) and journal.is_file():  # killed while one became the other
                tables[name] = read_journal(journal, tolerate="damage")
    return tables, problems


def _judge(segment: Segment, meta: Meta, name: str, frames: Any) -> _Camera:
    """Decide how many frames of a camera are kept, and which of its streams."""
    places = frames.filter(compute.equal(frames["camera"], name))["picture"].to_numpy()
    rows = int(np.argmin(np.append(places == np.arange(len(places)), False)))  # in order
    files = {
        stream: file
        for stream, file in meta.cameras[name].streams.items()
        if os.path.lexists(segment.folder / name / file)
    }
    found = {stream: segment.readable(name, stream, decode=True) for stream in files}
    chunk = meta.spec.frames
    # the most that a killed encoder has not written
    tail = round(2 * FRAGMENT_S * meta.spec.fps) + chunk
    films, labels = {}, {}
    for stream, readable in found.items():
        if stream in PACKINGS and readable.pictures:
            labels[stream] = readable.pictures
        elif readable.pictures or (readable.opened and rows <= tail):
            films[stream] = readable.pictures
    keep = rows if films or labels else 0
    for counts, behind in ((films, tail), (labels, chunk)):
        longest = min(keep, max(counts.values(), default=keep))
        keep = min([longest, *(number for number in counts.values() if number >= longest - behind)])
    good = {**films, **labels}
    kept = {stream: file for stream, file in files.items() if good.get(stream, -1) >= keep}
    gone = tuple(name for name in meta.cameras[name].streams if rows and name not in files)
    is_loss = bool(gone) or any(
        not readable.opened
        or readable.pictures > min(rows + chunk, keep + tail)
        or (keep and stream not in kept)
        for stream, readable in found.items()
    )
    return _Camera(keep=keep, rows=rows, streams=kept, found=found, gone=gone, is_loss=is_loss)


def _set_all_aside(
    folder: Path, cameras: Mapping[str, _Camera], problems: Mapping[str, str], aside: Aside
) -> None:
    counts = [
        f"{camera} has {readable.pictures} pictures of {stream}"
        if readable.opened
        else f"{stream} of {camera} cannot be opened"
        for camera, facts in cameras.items()
        for stream, readable in facts.found.items()
    ]
    counts += [
        f"{stream} of {camera} is not there"
        for camera, facts in cameras.items()
        for stream in facts.gone
    ]
    why = "; ".join(
        ["no frame has a row and a picture in its streams", *counts, *problems.values()]
    )
    is_loss = bool(problems) or any(camera.is_loss for camera in cameras.values())
    aside.move(folder, why, is_loss=is_loss)


def _cut_camera(
    folder: Path, camera: _Camera, files: Mapping[str, str], aside: Aside, was_closed: bool
) -> None:
    """Cut the streams of one camera to what is kept; set aside what is not."""
    if not folder.is_dir():
        return
    if not camera.keep:
        why = f"no frame of it has a row and a picture in its streams, of {camera.rows} rows"
        aside.move(folder, why, is_loss=camera.is_loss)
        return
    for stream, readable in camera.found.items():
        path = folder / files[stream]
        if stream not in camera.streams:
            got = f"{readable.pictures} of them" if readable.opened else readable.problem
            why = f"expected {camera.keep} pictures like the streams beside it, got {got}"
            aside.move(path, why, is_loss=True)
            continue
        there = max(readable.pictures, count(path).pictures)
        is_whole = there == camera.keep and not readable.problem
        if not is_whole:
            why = f"{camera.keep} of its {there} pictures are kept, those that all streams have"
            aside.keep(path, why, is_loss=camera.is_loss)
        if not (is_whole and was_closed):
            cut(path, camera.keep)


def _kept_rows(frames: Any, counts: Mapping[str, int]) -> Any:
    """Return the first rows of each camera, as many as it keeps."""
    left = dict(counts)
    mask = []
    for camera in frames["camera"].to_pylist():
        left[camera] = left.get(camera, 0) - 1
        mask.append(left[camera] >= 0)
    return frames.filter(pa.array(mask, pa.bool_()))


def _unknown_classes(folder: Path, files: Mapping[str, str]) -> tuple[int, ...]:
    """Return the numbers in a camera's semantic label that the class map does not cover."""
    if "semantic" not in files:
        return ()
    found: set[int] = set()
    for label in read_stream(folder / files["semantic"], "semantic"):
        if label.max() >= len(CLASS_NAMES):
            found.update(np.unique(label[label >= len(CLASS_NAMES)]).tolist())
    return tuple(sorted(found))


def _keys(table: Any) -> list[tuple[str, int]]:
    return list(zip(table["camera"].to_pylist(), table["frame_id"].to_pylist(), strict=True))
