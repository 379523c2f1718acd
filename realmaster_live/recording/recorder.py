"""Writes a driving sequence: what was rendered, what was realized, every label and every pose."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from realmaster_live.chunk import Chunk, ChunkSpec
from realmaster_live.errors import RecordingError
from realmaster_live.recording.about import META, About, Meta, sha256_of
from realmaster_live.recording.packing import PACKINGS
from realmaster_live.recording.rows import JOURNAL, TABLE, RowWriter
from realmaster_live.recording.streams import LabelWriter, PictureWriter, Preset

THREADS = 2  # encoders release the interpreter's lock; more would take cores from the engine


class Recorder:
    """A sink that blocks until a chunk is encoded: a recording drops nothing.

    The folder gets sim.mp4 and real.mp4, one lossless .mkv a label, frames.parquet and meta.json.
    What was written before a crash stays playable up to about half a second before it.

    Args:
        folder: made if it is not there; must not hold a recording yet.
        spec: the engine's chunks, for the frame rate.
        about: where the frames come from.
        overwrite: replace a recording that is already in the folder.
        preset: x264's effort for the two picture files. crf: their quality, lower is better.

    Raises:
        RecordingError: the folder holds a recording, cannot be written, or the disk is full.
    """

    def __init__(
        self,
        folder: str | Path,
        spec: ChunkSpec,
        *,
        about: About | None = None,
        overwrite: bool = False,
        preset: Preset = "ultrafast",
        crf: int = 18,
    ) -> None:
        self.folder = Path(folder)
        self.spec = spec
        self.about = about or About()
        self.frames = 0
        self._lost_frames = 0
        self._preset: Preset = preset
        self._crf = crf
        self._meta: Meta | None = None
        self._rows: RowWriter | None = None
        self._writers: dict[str, PictureWriter | LabelWriter] = {}
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="rm-record")
        self._broken = False
        self._closed = False
        self._prepare(overwrite)

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def write(self, chunk: Chunk) -> None:
        """Append one chunk; returns when it is encoded and handed to the operating system."""
        if self._closed:
            raise RecordingError(f"expected an open recording, got a closed one: {self.folder}")
        streams = _streams(chunk)
        if self._meta is not None and streams.keys() != self._meta.streams.keys():
            raise RecordingError(
                f"expected the streams {', '.join(self._meta.streams)} in every chunk, got "
                f"{', '.join(streams)}: start a new recording when the labels change"
            )
        try:
            rows = self._rows or self._start(chunk)
            self._in_parallel(
                _appending(writer, _pictures(chunk, name)) for name, writer in self._writers.items()
            )
            rows.write(chunk)  # after the pictures, so that every row has its pictures
        except RecordingError:
            self._broken = True
            raise
        self.frames += len(chunk)
        self._lost_frames += chunk.dropped_before

    def close(self) -> None:
        """Finish all files; may be called twice."""
        if self._closed:
            return
        self._closed = True
        closers: list[Callable[[], None]] = [writer.close for writer in self._writers.values()]
        if self._rows is not None:
            closers.append(self._rows.close)
        try:
            self._in_parallel(closers)
        finally:
            self._pool.shutdown()
        if self._meta is not None and not self._broken:
            names = [*self._meta.streams.values(), TABLE]
            replace(
                self._meta,
                complete=True,
                frames=self.frames,
                lost_frames=self._lost_frames,
                sha256={name: sha256_of(self.folder / name) for name in names},
            ).write(self.folder)

    def _prepare(self, overwrite: bool) -> None:
        if (self.folder / META).exists() and not overwrite:
            raise RecordingError(
                f"expected a new folder to record in, got {self.folder}, which holds a recording: "
                "name another folder or delete this one"
            )
        names = [META, TABLE, JOURNAL, *(f"{label}.mkv" for label in PACKINGS)]
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            for name in (*names, "sim.mp4", "real.mp4"):
                (self.folder / name).unlink(missing_ok=True)
        except OSError as error:
            raise RecordingError(
                f"expected to write in {self.folder}, got {error}: record elsewhere"
            ) from error

    def _start(self, chunk: Chunk) -> RowWriter:
        """Open one file a stream, now that it is known what there is."""
        unknown = chunk.labels.keys() - PACKINGS.keys()
        if unknown:
            raise RecordingError(
                f"expected the labels {', '.join(PACKINGS)}, got {', '.join(sorted(unknown))}: "
                "leave them out of what is recorded"
            )
        height, width = chunk.frames.shape[1:3]
        fps, size = self.spec.fps, (width, height)
        self._meta = Meta(
            about=self.about,
            camera=chunk.camera,
            spec=replace(self.spec, width=width, height=height),
            streams=_streams(chunk),
            created=datetime.now(UTC).isoformat(timespec="seconds"),
        )
        self._meta.write(self.folder)
        for name, file in self._meta.streams.items():
            path = self.folder / file
            self._writers[name] = (
                LabelWriter(path, name, size, fps)
                if name in PACKINGS
                else PictureWriter(path, size, fps, preset=self._preset, crf=self._crf)
            )
        self._rows = RowWriter(self.folder, self.about)
        return self._rows

    def _in_parallel(self, jobs: Iterable[Callable[[], None]]) -> None:
        """Do all jobs on the pool; raise the first exception once all have ended."""
        futures = [self._pool.submit(job) for job in jobs]
        errors = [future.exception() for future in futures]
        for error in errors:
            if error is not None:
                raise error


def _streams(chunk: Chunk) -> dict[str, str]:
    """Return name -> file name of everything in `chunk`."""
    pictures = ["sim"] if chunk.rendered is None else ["sim", "real"]
    return {name: f"{name}.mp4" for name in pictures} | {
        name: f"{name}.mkv" for name in chunk.labels
    }


def _pictures(chunk: Chunk, stream: str) -> Any:
    if stream == "sim":
        return chunk.frames if chunk.rendered is None else chunk.rendered
    return chunk.frames if stream == "real" else chunk.labels[stream]


def _appending(writer: PictureWriter | LabelWriter, pictures: Any) -> Callable[[], None]:
    def append() -> None:
        for picture in pictures:
            writer.write(picture)

    return append
