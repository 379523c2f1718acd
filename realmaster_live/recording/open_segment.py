"""The segment that is being written: encoders and journals, and how they become a whole one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from realmaster_live.annotations import Annotation, annotate
from realmaster_live.errors import RecordingError
from realmaster_live.frames.chunk import Chunk
from realmaster_live.frames.classes import CLASS_NAMES
from realmaster_live.frames.source_info import SourceInfo
from realmaster_live.recording.about import About
from realmaster_live.recording.ego_writer import EgoWriter
from realmaster_live.recording.files import unwritable
from realmaster_live.recording.film_packets import FilmPackets, Films, Packets
from realmaster_live.recording.labels import LabelWriter
from realmaster_live.recording.rows import frame_rows, object_rows, trust_rows
from realmaster_live.recording.segment import SegmentInfo, spans_of, stored_files
from realmaster_live.recording.streams import open_stream
from realmaster_live.recording.tables import SCHEMAS, keep_table, open_journal, read_journal
from realmaster_live.recording.videos import Pictures, PictureWriter


class OpenSegment:
    """Takes chunks of any camera until it is closed.

    Args:
        folder: made here; must not be there yet.
        about: of its first frame, for the rows. fps: of the videos' clocks.
        pictures: how they are encoded.
        pool: does the encoding and annotating.
        films: told the packets of its films.
    """

    def __init__(
        self,
        folder: Path,
        *,
        about: About,
        fps: float,
        pictures: Pictures,
        pool: ThreadPoolExecutor,
        films: Films,
    ) -> None:
        self.folder = folder
        self.began_s: float | None = None
        self.last_s: float = -float("inf")
        self.first_id: int | None = None
        """Number of the first frame of the latest chunk: the same for all cameras of a tick."""
        self.source: SourceInfo | None = None
        """What its first frame came from."""
        self._about, self._fps, self._pictures, self._pool = about, fps, pictures, pool
        self._films = films
        self._writers: dict[str, dict[str, PictureWriter | LabelWriter]] = {}
        self._streams: dict[str, Mapping[str, str]] = {}
        self._counts: dict[str, int] = {}
        self._unknown: dict[str, set[int]] = {}
        try:
            folder.mkdir(parents=True)
        except OSError as error:
            raise unwritable(folder, error) from error
        self._journals = {name: open_journal(folder, name) for name in SCHEMAS}
        self._ego = EgoWriter(folder)

    def write(self, chunk: Chunk, streams: Mapping[str, str]) -> None:
        """Append one chunk, whose every frame has a source.

        Returns when it is encoded and handed to the operating system.
        """
        writers = self._writers.get(chunk.camera) or self._open(chunk, streams)
        if self.began_s is None:
            self.began_s = float(chunk.timestamps[0])
            self.source = chunk.sources[0]
        marks: list[tuple[Annotation, ...]] = [()] * len(chunk)
        films: dict[str, Packets] = {}
        has_things = bool(chunk.objects) or "instance" in chunk.labels
        self._in_parallel(
            [
                *(_appending(chunk, name, writer, films) for name, writer in writers.items()),
                *(_annotating(chunk, row, marks) for row in range(len(chunk)) if has_things),
                *([lambda: self._ego.write(chunk)] if chunk.egos else []),
            ]
        )
        count = self._counts[chunk.camera]
        self._note_packets(chunk, films, first=count)
        journals = self._journals
        if any(marks):
            journals["objects"].write(object_rows(chunk, marks))
        if chunk.trust:
            journals["trust"].write(trust_rows(chunk))
        # the frames last, so that every row has its pictures and its things
        journals["frames"].write(frame_rows(chunk, self._about, picture=count))
        self._counts[chunk.camera] = count + len(chunk)
        self.first_id, self.last_s = int(chunk.frame_ids[0]), float(chunk.timestamps[-1])
        self._note_classes(chunk)

    def bytes(self) -> int:
        """Return how large it is so far."""
        try:
            files = (path for path in self.folder.rglob("*") if path.is_file())
            return sum(path.stat().st_size for path in files)
        except OSError as error:  # the folder was removed meanwhile
            raise unwritable(self.folder, error) from error

    def close_files(self) -> None:
        """Finish videos and journals; may be called twice."""
        writers = [writer for of_camera in self._writers.values() for writer in of_camera.values()]
        closing = (*writers, *self._journals.values(), self._ego)
        self._in_parallel([item.close for item in closing])

    def finish(self) -> None:
        """Turn the journals into tables and write segment.json, after `close_files`."""
        if not self.folder.is_dir():
            raise RecordingError(
                f"expected to finish {self.folder}, got no such folder: it was removed while it "
                "was recorded, so record again"
            )
        try:
            frames = read_journal(self.folder / "frames.arrows")
            for name in SCHEMAS:
                keep_table(self.folder, name)
            self._ego.finish()
            unknown = {camera: tuple(sorted(ids)) for camera, ids in self._unknown.items()}
            info = SegmentInfo(
                cameras=spans_of(frames, unknown),
                files=stored_files(self.folder, self._streams, self._ego.files),
                source=self.source,
            )
            info.write(self.folder)
        except OSError as error:
            raise unwritable(self.folder, error) from error

    def _open(
        self, chunk: Chunk, streams: Mapping[str, str]
    ) -> dict[str, PictureWriter | LabelWriter]:
        """Open one file a stream of a camera."""
        height, width = chunk.frames.shape[1:3]
        folder, size = self.folder / chunk.camera, (width, height)
        try:
            folder.mkdir()
        except OSError as error:
            raise unwritable(folder, error) from error
        self._streams[chunk.camera] = streams
        self._counts[chunk.camera] = 0
        writers: dict[str, PictureWriter | LabelWriter] = {}
        self._writers[chunk.camera] = writers
        for name, file in streams.items():
            writers[name] = open_stream(folder / file, name, size, self._fps, self._pictures)
        return writers

    def _note_packets(self, chunk: Chunk, films: Mapping[str, Packets], *, first: int) -> None:
        if self._pictures.lossless:
            return  # few decoders play it
        for stream, file in self._streams[chunk.camera].items():
            if stream not in films:
                continue
            path = self.folder / chunk.camera / file
            made = FilmPackets(film=path, first=first, packets=films[stream])
            self._films.put(pictures_of(chunk, stream), made)

    def _note_classes(self, chunk: Chunk) -> None:
        semantic = chunk.labels.get("semantic")
        if semantic is not None and int(semantic.max()) >= len(CLASS_NAMES):
            ids = np.unique(semantic)
            new = ids[ids >= len(CLASS_NAMES)].tolist()
            self._unknown.setdefault(chunk.camera, set()).update(new)

    def _in_parallel(self, jobs: Iterable[Callable[[], None]]) -> None:
        """Do all jobs on the pool; raise the first exception once all have ended."""
        futures = [self._pool.submit(job) for job in jobs]
        errors = [future.exception() for future in futures]
        for error in errors:
            if error is not None:
                raise error


def pictures_of(chunk: Chunk, stream: str) -> Any:
    """Return the arrays of one stream, time first."""
    if stream == "sim":
        return chunk.frames if chunk.rendered is None else chunk.rendered
    return chunk.frames if stream == "real" else chunk.labels[stream]


def _appending(
    chunk: Chunk,
    stream: str,
    writer: PictureWriter | LabelWriter,
    films: dict[str, Packets],  # is given the packets of a film
) -> Callable[[], None]:
    pictures = pictures_of(chunk, stream)

    def append() -> None:
        if isinstance(writer, PictureWriter):
            films[stream] = tuple(writer.write(picture) for picture in pictures)
        else:
            for picture in pictures:
                writer.write(picture)

    return append


def _annotating(chunk: Chunk, row: int, marks: list[tuple[Annotation, ...]]) -> Callable[[], None]:
    def note() -> None:
        height, width = chunk.frames.shape[1:3]
        marks[row] = annotate(
            chunk.objects[row] if chunk.objects else (),
            {name: label[row] for name, label in chunk.labels.items()},
            chunk.cam_to_world[row],
            chunk.intrinsics,
            (width, height),
        )

    return note
