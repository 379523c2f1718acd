"""One segment as it is read: checked once it is reached, decoded stream beside stream."""

from __future__ import annotations

import logging
from collections.abc import Collection, Generator, Iterator, Sequence
from contextlib import ExitStack, closing
from functools import cached_property
from pathlib import Path
from typing import Any

from realmaster_live.errors import RecordingError
from realmaster_live.recording.about import Meta
from realmaster_live.recording.files import sha256_of
from realmaster_live.recording.segment import (
    SEGMENT,
    SEGMENTS,
    SegmentInfo,
    is_finished,
    segment_folders,
)
from realmaster_live.recording.streams import count, read_stream
from realmaster_live.recording.tables import SCHEMAS, compute, read_table

log = logging.getLogger(__name__)


class Segment:
    """One segment, finished or not.

    Args:
        folder: the segment's. meta: of the recording.
        named: meta.json says that it was finished.
        verify: compare each file with its hash before it is used for the first time.
    """

    def __init__(self, folder: Path, meta: Meta, *, named: bool, verify: bool) -> None:
        self.folder = folder
        self._meta = meta
        self._named = named
        self._verify = verify
        self._checked: set[str] = set()
        self._counts: dict[str, int] = {}  # of an open segment

    @cached_property
    def info(self) -> SegmentInfo | None:
        """What the recorder noted when it closed the segment; None while it is open.

        Raises:
            RecordingError: it is missing or damaged.
        """
        if is_finished(self.folder):
            return SegmentInfo.read(self.folder)
        if self._named:
            raise RecordingError(
                f"expected {self.folder / SEGMENT}, got no such file: restore it from a copy, or "
                "run realmaster dataset repair"
            )
        return None

    def rows(self, name: str, camera: str | None = None) -> Any:
        """Return a table, of one camera or of all."""
        self._check(f"{name}.parquet")
        table = self.read(name)
        if camera is not None:
            table = table.filter(compute.equal(table["camera"], camera))
        if name == "frames" and self.info is not None:
            takes = self.info.cameras
            wanted = [take for one, take in takes.items() if camera in (None, one)]
            expected = sum(take.frames for take in wanted)
            if len(table) != expected:
                raise RecordingError(
                    f"expected {expected} rows in {self.folder / 'frames.parquet'}, got "
                    f"{len(table)}: restore the file from a copy or record again"
                )
        return table

    def read(self, name: str) -> Any:
        """Return a table of all cameras as it lies there, unchecked."""
        begun = any((self.folder / f"{name}.{kind}").exists() for kind in ("parquet", "arrows"))
        if not begun and not is_finished(self.folder):  # killed before it began
            return SCHEMAS[name].empty_table()
        return read_table(self.folder, name)

    def count(self, camera: str) -> int:
        """Return how many frames of a camera all its files have; 0 if that cannot be told."""
        try:
            if self.info is None:
                return self._readable(camera)
        except RecordingError:
            return 0
        take = self.info.cameras.get(camera)
        return 0 if take is None else take.frames

    def check(self, cameras: Collection[str]) -> None:
        """Compare every file of some cameras with its hash; RecordingError names the first."""
        for name in SCHEMAS:
            self.rows(name)
        for camera in cameras:
            if self.info is not None and camera in self.info.cameras:
                for file in self._meta.cameras[camera].streams.values():
                    self._check(f"{camera}/{file}")

    def pictures(
        self,
        camera: str,
        streams: Collection[str],
        places: Sequence[int],  # of the wanted pictures, ascending
    ) -> Iterator[dict[str, Any]]:
        """Yield stream -> picture or label for each place; fewer where the segment was cut short.

        Raises:
            RecordingError: a file of a finished segment is missing, damaged or too short.
        """
        files = self._meta.cameras[camera].streams
        if not streams or not places:
            yield from ({} for _ in places)
            return
        paths = {name: self.folder / camera / files[name] for name in streams}
        for name in streams:
            self._check(f"{camera}/{files[name]}")
        wanted = None if places[-1] == len(places) - 1 else places
        with ExitStack() as stack:
            readers = {
                name: stack.enter_context(closing(self._reader(path, name, wanted)))
                for name, path in paths.items()
            }
            for place in places:
                images = {name: next(reader, None) for name, reader in readers.items()}
                short = [name for name, image in images.items() if image is None]
                if short and self.info is not None:
                    raise RecordingError(
                        f"expected a picture at {place} in {paths[short[0]]}, got its end: "
                        "restore the file from a copy or record again"
                    )
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

    def _reader(
        self, path: Path, name: str, wanted: Sequence[int] | None
    ) -> Generator[Any, None, None]:
        decoded = read_stream(path, name, wanted, self._meta.spec.fps)
        try:
            yield from decoded
        except RecordingError:
            if self.info is not None:
                raise
            # the last fragment of a killed recorder: what came before it is good

    def _readable(self, camera: str) -> int:
        """Return what a killed recorder left: rows that have a picture in every stream."""
        if camera not in self._counts:
            rows = len(self.rows("frames", camera))
            files = self._meta.cameras[camera].streams.values()
            pictures = (count(self.folder / camera / file) for file in files)
            self._counts[camera] = min(rows, *pictures) if rows else 0
        return self._counts[camera]

    def _check(self, file: str) -> None:
        """Compare a file with what the recorder noted, the first time it is used."""
        if self.info is None or file in self._checked:
            return
        path, kept = self.folder / file, self.info.files.get(file)
        if not path.exists():
            raise RecordingError(
                f"expected {path}, got no such file: restore it from a copy or record again"
            )
        if self._verify and kept is not None:
            size = path.stat().st_size
            if size != kept.bytes or sha256_of(path) != kept.sha256:
                raise RecordingError(
                    f"expected {path} as it was recorded, got other bytes: restore the file from "
                    "a copy or record again"
                )
        self._checked.add(file)


def open_segments(folder: Path, meta: Meta, *, verify: bool = True) -> list[Segment]:
    """Return the segments of a recording in order: all that are there or should be."""
    there = {path.name for path in segment_folders(folder)}
    return [
        Segment(folder / SEGMENTS / name, meta, named=name in meta.segments, verify=verify)
        for name in sorted(there | set(meta.segments))
    ]
