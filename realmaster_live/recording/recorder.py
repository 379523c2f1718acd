"""Writes a driving sequence: what was rendered, what was realized, every label and every pose."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from realmaster_live.errors import ConfigError, RecordingError
from realmaster_live.frames.chunk import Chunk, ChunkSpec
from realmaster_live.recording.about import About, Camera, Meta
from realmaster_live.recording.calibration import calibrate, write_calibration
from realmaster_live.recording.files import unwritable
from realmaster_live.recording.lock import Lock
from realmaster_live.recording.open_segment import OpenSegment
from realmaster_live.recording.packing import PACKINGS
from realmaster_live.recording.placing import check_place, remove_recording
from realmaster_live.recording.segment import SEGMENTS, segment_name
from realmaster_live.recording.streams import file_of
from realmaster_live.recording.videos import Pictures, Preset
from realmaster_live.system.inside import plain_name

log = logging.getLogger(__name__)
THREADS = 2  # encoders release the interpreter's lock; more would take cores from the engine
ROOM_BYTES = 64 * 2**20  # left free, so that what is open can still be closed


class Recorder:
    """A sink that blocks until a chunk is encoded: a recording drops nothing.

    Takes chunks of any number of cameras, those of one moment one after another. What was written
    before a crash stays readable up to about half a second before it; see docs/recording.md.

    Args:
        folder: made if it is not there; must be empty.
        spec: the engine's chunks, for the frame rate.
        about: where the frames come from.
        overwrite: replace a recording that is already in the folder.
        segment_s: simulated seconds after which a new segment is begun.
        segment_bytes: size at which one is begun earlier.
        lossless: keep every bit of the pictures, at about ten times the size; labels always are.
        container: of the pictures. preset, crf: x264's effort and quality, lower is better.

    Raises:
        ConfigError: an option is out of range.
        RecordingError: the folder holds a recording, cannot be written, or the disk is full.
    """

    def __init__(
        self,
        folder: str | Path,
        spec: ChunkSpec,
        *,
        about: About | None = None,
        overwrite: bool = False,
        segment_s: float = 60.0,
        segment_bytes: int = 2 * 2**30,
        lossless: bool = False,
        container: Literal["mp4", "mkv"] = "mp4",
        preset: Preset = "ultrafast",
        crf: int = 18,
    ) -> None:
        if segment_s <= 0 or segment_bytes < 1:
            raise ConfigError(
                f"expected segments of more than 0 seconds and bytes, got {segment_s} s and "
                f"{segment_bytes} bytes: leave the options out"
            )
        self.folder = Path(folder)
        self.spec = spec
        self.about = about or About()
        self.frames = 0
        self._pictures = Pictures(container=container, lossless=lossless, preset=preset, crf=crf)
        self._segment_s, self._segment_bytes = segment_s, segment_bytes
        self._meta: Meta | None = None
        self._calibration: dict[str, Mapping[str, Any]] = {}
        self._segment: OpenSegment | None = None
        self._begun = 0  # segments
        self._lost_frames = 0
        self._broken = False
        self._closed = False
        self._prepare(overwrite)
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="rm-record")
        # a segment becomes whole while the next one is being written
        self._finisher = ThreadPoolExecutor(1, thread_name_prefix="rm-segment")
        self._finishing: tuple[str, Future[None]] | None = None

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def write(self, chunk: Chunk) -> None:
        """Append one chunk; returns when it is encoded and handed to the operating system."""
        if self._closed:
            raise RecordingError(f"expected an open recording, got a closed one: {self.folder}")
        if self._broken:
            raise RecordingError(
                f"expected a recording that can be written, got {self.folder}, which failed "
                "before: free some disk space and record anew"
            )
        streams = self._streams_of(chunk)
        segment = self._segment
        is_new_moment = segment is None or int(chunk.frame_ids[0]) > segment.last_frame
        if is_new_moment:
            self._check_room()  # what is there already is closed as usual
        try:
            if segment is None or is_new_moment:
                segment = self._segment = self._rotated(segment, float(chunk.timestamps[-1]))
            segment.write(chunk, streams)
        except RecordingError:
            self._broken = True
            raise
        self.frames += len(chunk)
        self._lost_frames += chunk.dropped_before

    def close(self) -> None:
        """Finish all files; may be called twice. After a failure what is readable is left."""
        if self._closed:
            return
        self._closed = True
        try:
            self._end()
        except RecordingError as error:
            if not self._broken:
                raise
            log.info("%s", error)  # the one that came first was raised already
        finally:
            self._pool.shutdown()
            self._finisher.shutdown()
            self._lock.release()

    def _end(self) -> None:
        try:
            self._await_finished()
        finally:
            if self._segment is not None:
                self._segment.close_files()
        if self._broken or self._meta is None:
            return
        if self._segment is not None:
            self._segment.finish()
            self._note(self._segment.folder.name)
        self._meta = replace(
            self._meta, complete=True, frames=self.frames, lost_frames=self._lost_frames
        )
        self._meta.write(self.folder)

    def _rotated(self, segment: OpenSegment | None, now_s: float) -> OpenSegment:
        """Return the open segment, or a new one if there is none or it is long enough."""
        if segment is not None:
            began_s = now_s if segment.began_s is None else segment.began_s
            if now_s - began_s < self._segment_s and segment.bytes() < self._segment_bytes:
                return segment
            self._await_finished()
            segment.close_files()
            self._finishing = (segment.folder.name, self._finisher.submit(segment.finish))
        self._begun += 1
        return OpenSegment(
            self.folder / SEGMENTS / segment_name(self._begun - 1),
            about=self.about,
            fps=self.spec.fps,
            pictures=self._pictures,
            pool=self._pool,
        )

    def _await_finished(self) -> None:
        if self._finishing is not None:
            (name, future), self._finishing = self._finishing, None
            future.result()
            self._note(name)

    def _note(self, name: str) -> None:
        """Write down in meta.json that a segment is whole."""
        if self._meta is not None:
            self._meta = replace(self._meta, segments=(*self._meta.segments, name))
            self._meta.write(self.folder)

    def _streams_of(self, chunk: Chunk) -> Mapping[str, str]:
        """Return stream -> file name of a chunk's camera, the same as in all its chunks."""
        unknown = chunk.labels.keys() - PACKINGS.keys()
        if unknown:
            raise RecordingError(
                f"expected the labels {', '.join(PACKINGS)}, got {', '.join(sorted(unknown))}: "
                "leave them out of what is recorded"
            )
        height, width = chunk.frames.shape[1:3]
        camera = Camera(width=width, height=height, streams=self._files_of(chunk))
        known = None if self._meta is None else self._meta.cameras.get(chunk.camera)
        if known is None:
            self._meet(chunk, camera)
        elif camera.streams.keys() != known.streams.keys():
            raise RecordingError(
                f"expected the streams {', '.join(known.streams)} in every chunk, got "
                f"{', '.join(camera.streams)}: start a new recording when the labels change"
            )
        elif camera != known:
            raise RecordingError(
                f"expected pictures of {known.width}x{known.height} in every chunk, got "
                f"{width}x{height}: start a new recording when the size changes"
            )
        return camera.streams

    def _files_of(self, chunk: Chunk) -> dict[str, str]:
        streams = ["sim"] if chunk.rendered is None else ["sim", "real"]
        streams += [name for name in PACKINGS if name in chunk.labels]
        return {name: file_of(name, self._pictures) for name in streams}

    def _meet(self, chunk: Chunk, camera: Camera) -> None:
        """Write down a camera that was not seen before."""
        name = chunk.camera
        plain_name(name, "a camera name", error=RecordingError)
        if self._meta is None:
            self._meta = Meta(
                about=self.about,
                spec=replace(self.spec, width=camera.width, height=camera.height),
                cameras={},
                created=datetime.now(UTC).isoformat(timespec="seconds"),
                rotation={"segment_s": self._segment_s, "segment_bytes": self._segment_bytes},
            )
        self._meta = replace(self._meta, cameras={**self._meta.cameras, name: camera})
        self._calibration[name] = calibrate(
            chunk, *(_fact_of(self.about.source, name, fact) for fact in ("mount", "lens"))
        )
        write_calibration(self.folder, self._calibration)
        self._meta.write(self.folder)

    def _check_room(self) -> None:
        try:
            free = shutil.disk_usage(self.folder).free
        except OSError as error:  # the folder was removed
            self._broken = True
            raise unwritable(self.folder, error) from error
        if free < ROOM_BYTES:
            raise RecordingError(
                f"expected {ROOM_BYTES >> 20} MiB of room in {self.folder}, got {free >> 20} MiB: "
                "free some disk space or record elsewhere"
            )

    def _prepare(self, overwrite: bool) -> None:
        check_place(self.folder, overwrite=overwrite)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = Lock(self.folder)
            try:
                remove_recording(self.folder)
            except BaseException:
                self._lock.release()
                raise
        except OSError as error:
            raise RecordingError(
                f"expected to write in {self.folder}, got {error}: record elsewhere"
            ) from error


def _fact_of(source: Mapping[str, Any], camera: str, fact: str) -> Mapping[str, Any] | None:
    """Return the simulator's own "mount" or "lens" of a camera, where the source has it."""
    facts = source.get("cameras", {}).get(camera) or source.get("camera", {})
    found = facts.get(fact) if isinstance(facts, Mapping) else None
    return found if isinstance(found, Mapping) else None
