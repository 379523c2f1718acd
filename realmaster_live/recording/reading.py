"""Reads one segment: checks its files on first use and decodes its streams in parallel."""

from __future__ import annotations

import logging
from collections.abc import Collection, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from realmaster_live.errors import RecordingError
from realmaster_live.frames.ego import EgoState
from realmaster_live.frames.source_info import SourceInfo
from realmaster_live.recording.about import About, Meta
from realmaster_live.recording.ego_rows import read_states, read_weathers
from realmaster_live.recording.ego_schemas import EGO_SCHEMAS
from realmaster_live.recording.readable import Readable, unopened
from realmaster_live.recording.segment import (
    SEGMENT,
    SEGMENTS,
    SegmentInfo,
    is_finished,
    segment_folders,
    spans_of,
)
from realmaster_live.recording.streams import count, decodable, read_stream
from realmaster_live.recording.sweeps import (
    SUFFIX,
    StoredSweeps,
    SweepFile,
    is_sweep_file,
    sweep_files,
)
from realmaster_live.recording.tables import (
    ALL_SCHEMAS,
    SCHEMAS,
    compute,
    has_table,
    read_table,
    unusable,
)
from realmaster_live.system.contents import sha256_of
from realmaster_live.system.inside import SafeFolder

log = logging.getLogger(__name__)


class SceneFacts(NamedTuple):
    """Where and when the frames of a segment were taken."""

    town: str
    weather: str
    first_s: float
    last_s: float

    def continues_in(self, following: SceneFacts) -> bool:
        """Return whether the next segment is of the same drive: the same town, and a later time."""
        return self.town == following.town and following.first_s > self.last_s


class Segment:
    """One segment, finished or not.

    Args:
        folder: the segment's. meta: of the recording.
        named: whether meta.json lists it as finished.
        verify: compare each file with its hash before its first use.
    """

    def __init__(self, folder: Path, meta: Meta, *, named: bool, verify: bool) -> None:
        self.folder = folder
        self._files = SafeFolder(folder, error=RecordingError)
        self._meta = meta
        self._named = named
        self._verify = verify
        self._checked: set[str] = set()
        self._counts: dict[str, int] = {}  # of an open segment

    @cached_property
    def info(self) -> SegmentInfo | None:
        """What the recorder wrote when it closed the segment; None while it is open.

        Raises:
            RecordingError: it is missing or damaged.
        """
        self._check_place()
        if is_finished(self.folder):
            return SegmentInfo.read(self.folder)
        if self._named:
            raise RecordingError(
                f"expected {self.folder / SEGMENT}, got no such file: restore it from a copy, or "
                "run realmaster dataset repair"
            )
        return None

    @property
    def about(self) -> About:
        """The description of the whole recording."""
        return self._meta.about

    @property
    def source(self) -> SourceInfo:
        """What its frames came from: its own note of it, else the recording's."""
        info = self.info
        return self._meta.about.source if info is None or info.source is None else info.source

    def scene(self, cameras: Collection[str]) -> SceneFacts | None:
        """Return where and when its frames were taken; None if it has no frames."""
        info = self.info
        by_camera = spans_of(self.rows("frames"), {}) if info is None else info.cameras
        spans = [span for name, span in by_camera.items() if name in cameras and span.frames]
        if not spans:
            return None
        first, about = spans[0], self._meta.about
        return SceneFacts(
            town=about.town if first.town is None else first.town,
            weather=about.weather if first.weather is None else first.weather,
            first_s=min(span.first_s for span in spans),
            last_s=max(span.last_s for span in spans),
        )

    def rows(self, name: str, camera: str | None = None) -> Any:
        """Return a table, of one camera or of all."""
        if name in SCHEMAS or f"{name}.parquet" in self._kept_files:
            self._check(f"{name}.parquet")
        table = self.read(name)
        if camera is not None:
            table = table.filter(compute.equal(table["camera"], camera))
        if name == "frames":
            self._check_frames(table, camera)
        return table

    def read(self, name: str) -> Any:
        """Return a table of all cameras without comparing it with its hash."""
        self._check_place()
        is_optional = name in EGO_SCHEMAS and f"{name}.parquet" not in self._kept_files
        if (is_optional or not is_finished(self.folder)) and not has_table(self.folder, name):
            return ALL_SCHEMAS[name].empty_table()  # not recorded, or killed before it was begun
        return read_table(self.folder, name)

    @cached_property
    def states(self) -> Mapping[int, EgoState]:
        """The vehicle's state by frame id; empty where it was not recorded."""
        found = read_states(self.rows("ego"), self.rows("events"))
        sweeps = self.sweeps
        if not sweeps:
            return found
        return {
            number: replace(state, sweeps=StoredSweeps(sweeps, number))
            for number, state in found.items()
        }

    @cached_property
    def sweeps(self) -> Mapping[str, SweepFile]:
        """The files of lidars' and radars' sweeps, by the sensors' names."""
        names = {one.removesuffix(SUFFIX) for one in self._kept_files if is_sweep_file(one)}
        names |= {one.removesuffix(SUFFIX) for one in sweep_files(self.folder)}
        return {
            name: SweepFile(self.folder / file, partial(self._check, file))
            for name in sorted(names)
            for file in [f"{name}{SUFFIX}"]
        }

    @cached_property
    def weathers(self) -> Mapping[int, Mapping[str, float]]:
        """The weather's parameters by frame id, where they were recorded."""
        return read_weathers(self.rows("ego"))

    @property
    def _kept_files(self) -> Mapping[str, Any]:
        """The files that the segment's own description lists."""
        info = self.info
        return {} if info is None else info.files

    def count(self, camera: str) -> int:
        """Return how many frames of a camera all its files have.

        Raises:
            RecordingError: it is unknown, because a file cannot be opened.
        """
        if self.info is None:
            return self._readable(camera)
        span = self.info.cameras.get(camera)
        return 0 if span is None else span.frames

    def readable(self, camera: str, stream: str, *, decode: bool = False) -> Readable:
        """Return how far a stream's file can be read; `decode` plays a video to its end."""
        file = self._meta.cameras[camera].streams[stream]
        try:
            path = self._files.file(f"{camera}/{file}")
        except RecordingError as error:
            return unopened(error)
        return decodable(path) if decode else count(path)

    def check(self, cameras: Collection[str]) -> None:
        """Compare every file of some cameras with its hash; RecordingError names the first."""
        for name in ALL_SCHEMAS:
            self.rows(name)
        for name in self.sweeps:
            self._check(f"{name}{SUFFIX}")
        for camera in cameras:
            if self.info is not None and camera in self.info.cameras:
                for file in self._meta.cameras[camera].streams.values():
                    self._check(f"{camera}/{file}")

    def pictures(
        self,
        camera: str,
        streams: Collection[str],
        places: Sequence[int],  # indices of the requested pictures, ascending
    ) -> Iterator[dict[str, Any]]:
        """Yield stream -> picture or label for each index; fewer if the segment ends before.

        Raises:
            RecordingError: a file of a finished segment is missing, damaged or too short.
        """
        if not streams or not places:
            yield from ({} for _ in places)
            return
        paths = {name: self.path(camera, name) for name in streams}
        wanted = None if places[-1] == len(places) - 1 else places
        with ExitStack() as stack:
            readers = {
                name: stack.enter_context(closing(self._reader(path, name, wanted)))
                for name, path in paths.items()
            }
            for place in places:
                images = {name: next(reader, None) for name, reader in readers.items()}
                for name, image in images.items():
                    if image is not None:
                        self.check_size(image, camera, paths[name])
                short = [name for name, image in images.items() if image is None]
                if short and self.info is not None:
                    raise too_short(paths[short[0]], place)
                if short:
                    log.warning(
                        "%s of %s was cut short: %d of %d frames are there",
                        camera,
                        self.folder,
                        places.index(place),
                        len(places),
                    )
                    return
                yield images

    def path(self, camera: str, stream: str) -> Path:
        """Return the file of a stream, compared with its hash before its first use.

        Raises:
            RecordingError: it is missing, or not as it was recorded.
        """
        file = f"{camera}/{self._meta.cameras[camera].streams[stream]}"
        self._check(file)
        return self._files.file(file)

    def check_size(self, image: Any, camera: str, path: Path) -> None:
        """Refuse a picture or label, (H, W, ...), of another size than the camera's."""
        facts = self._meta.cameras[camera]
        if image.shape[:2] != (facts.height, facts.width):
            height, width = image.shape[:2]
            raise RecordingError(
                f"expected pictures of {facts.width}x{facts.height} in {path}, got "
                f"{width}x{height}: restore the file from a copy or record again"
            )

    @property
    def fps(self) -> float:
        """Frame rate of its films' clock."""
        return self._meta.spec.fps

    def _reader(
        self, path: Path, name: str, wanted: Sequence[int] | None
    ) -> Generator[Any, None, None]:
        begun = False
        try:
            if self.info is None and path.stat().st_size == 0:
                return  # killed before anything reached the disk
            for image in read_stream(path, name, wanted, self._meta.spec.fps):
                begun = True
                yield image
        except RecordingError:
            if self.info is not None or not begun:
                raise
            # the last fragment of a killed recorder: what came before it is good

    def _readable(self, camera: str) -> int:
        """Return what a killed recorder left: rows that have a picture in every stream."""
        if camera not in self._counts:
            rows = len(self.rows("frames", camera))
            found = [rows]
            for stream in self._meta.cameras[camera].streams if rows else ():
                readable = self.readable(camera, stream)
                if not readable.opened:
                    raise RecordingError(
                        f"expected {stream} of {camera} in {self.folder}, got a file that cannot "
                        f"be opened ({readable.problem}): run realmaster dataset repair, which "
                        "keeps what can be read"
                    )
                found.append(readable.pictures)
            self._counts[camera] = min(found)
        return self._counts[camera]

    def _check_frames(self, table: Any, camera: str | None) -> None:
        """Refuse rows that are not one for each picture of a camera, in order."""
        path = self.folder / "frames.parquet"
        for name in (camera,) if camera is not None else self._meta.cameras:
            places = table.filter(compute.equal(table["camera"], name))["picture"].to_numpy()
            if not np.array_equal(places, np.arange(len(places))):
                raise unusable(path, f"picture numbers of {name} that do not count from 0")
        if self.info is not None:
            spans = self.info.cameras
            wanted = [span for one, span in spans.items() if camera in (None, one)]
            expected = sum(span.frames for span in wanted)
            if len(table) != expected:
                raise RecordingError(
                    f"expected {expected} rows in {path}, got {len(table)}: restore the file from "
                    "a copy or record again"
                )

    def _check_place(self) -> None:
        """Refuse a folder that is a link out of the folder of all segments."""
        if self.folder.is_symlink():
            SafeFolder(self.folder.parent, error=RecordingError).folder(self.folder.name)

    def _check(self, file: str) -> None:
        """Compare a file with its recorded hash on first use."""
        if self.info is None or file in self._checked:
            return
        kept = self.info.files.get(file)
        if kept is None and not self._files.exists(file):
            raise RecordingError(
                f"expected {file} in {self.folder}, got a segment that a repair finished without "
                "it: leave that stream out, or skip damaged segments"
            )
        path = self._files.file(file)
        if self._verify and kept is not None:
            size = path.stat().st_size
            if size != kept.bytes or sha256_of(path, error=RecordingError) != kept.sha256:
                raise RecordingError(
                    f"expected {path} as it was recorded, got other bytes: restore the file from "
                    "a copy or record again"
                )
        self._checked.add(file)


def too_short(path: Path, place: int) -> RecordingError:
    """Return the error of a file that ends before a picture that should be in it."""
    return RecordingError(
        f"expected a picture at {place} in {path}, got its end: restore the file from a copy or "
        "record again"
    )


def open_segments(folder: Path, meta: Meta, *, verify: bool = True) -> list[Segment]:
    """Return the segments of a recording in order: all that are there or should be.

    The folder of all segments may be a link to a larger disk; links in it may not lead out of it.
    """
    inside = folder.absolute() / SEGMENTS
    there = {path.name for path in segment_folders(folder) if is_ours(path, meta)}
    return [
        Segment(inside / name, meta, named=name in meta.segments, verify=verify)
        for name in sorted(there | set(meta.segments))
    ]


def is_ours(folder: Path, meta: Meta) -> bool:
    """Return whether a folder with a segment's name is one: empty, or with a segment's files."""
    if folder.name in meta.segments or is_finished(folder):
        return True
    return any(has_table(folder, name) for name in ALL_SCHEMAS) or not any(folder.iterdir())
