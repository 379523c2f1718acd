"""Writes a driving sequence: rendered and realized pictures, every label and every pose."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from realmaster_live.errors import ConfigError, RecordingError, reason
from realmaster_live.frames.chunk import Chunk, ChunkSpec
from realmaster_live.frames.run_info import RunInfo
from realmaster_live.frames.source_info import SourceInfo
from realmaster_live.recording.about import About, Camera, Meta
from realmaster_live.recording.calibration import calibrate, write_calibration
from realmaster_live.recording.files import unwritable
from realmaster_live.recording.film_packets import Films
from realmaster_live.recording.lock import Lock
from realmaster_live.recording.open_segment import OpenSegment
from realmaster_live.recording.packing import PACKINGS
from realmaster_live.recording.placing import check_place, remove_recording
from realmaster_live.recording.road_maps import keep_road_map
from realmaster_live.recording.segment import SEGMENTS, segment_name
from realmaster_live.recording.streams import file_of
from realmaster_live.recording.videos import Pictures, Preset
from realmaster_live.system.host import memory_used
from realmaster_live.system.inside import plain_name

log = logging.getLogger(__name__)
State = Literal["not open yet", "open", "closed"]
THREADS = 2  # encoders release the interpreter's lock; more would take cores from the engine
ROOM_BYTES = 64 * 2**20  # left free, so that what is open can still be closed


class Recorder:
    """A sink that blocks until a chunk is encoded: a recording drops nothing.

    Takes chunks of any number of cameras, those of one tick one after another. After a crash a
    recording is readable up to about half a second before it; see docs/recording.md. A new segment
    begins where another town is loaded, the weather changes or the clock falls.

    The constructor writes nothing: the folder is made by `with`, by `run` or by the first chunk.
    Within `run` the recorder learns the source and the engine from the run.

    Args:
        folder: made if it is not there; must be empty.
        spec: the engine's chunks, for the frame rate; needed only outside of a run.
        about: what the run does not know, such as route, seed and licence. It takes precedence
            over the source for the recording as a whole, and completes what frames do not report.
        overwrite: replace a recording that is already in the folder.
        segment_s: simulated seconds after which a new segment begins.
        segment_bytes: size after which it begins earlier.
        lossless: keep every bit of the pictures, at about ten times the size; labels always are.
        opendrive: town -> OpenDRIVE text, for towns whose roads the run's source does not know.
        container: of the pictures. preset, crf: x264's effort and quality, lower is better.

    Raises:
        ConfigError: an option is out of range.
        RecordingError: the folder holds a recording, cannot be written, or the disk is full.
    """

    def __init__(
        self,
        folder: str | Path,
        spec: ChunkSpec | None = None,
        *,
        about: About | None = None,
        overwrite: bool = False,
        segment_s: float = 60.0,
        segment_bytes: int = 2 * 2**30,
        lossless: bool = False,
        opendrive: Mapping[str, str] | None = None,
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
        self.frames = 0
        self._spec, self._given, self._overwrite = spec, about or About(), overwrite
        self._run: RunInfo | None = None
        self._films = Films()
        self._opendrive = dict(opendrive or {})
        self._source = SourceInfo()  # of the latest chunk
        self._pictures = Pictures(container=container, lossless=lossless, preset=preset, crf=crf)
        self._segment_s, self._segment_bytes = segment_s, segment_bytes
        self._meta: Meta | None = None
        self._calibration: dict[str, Mapping[str, Any]] = {}
        self._segment: OpenSegment | None = None
        self._begun = 0  # segments
        self._lost_frames = 0
        self._broken = False
        self._state: State = "not open yet"
        check_place(self.folder, overwrite=overwrite)

    def __enter__(self) -> Recorder:
        self.open()
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __repr__(self) -> str:
        """Show the folder, the state and the number of frames."""
        return f"Recorder({str(self.folder)!r}, {self._state}, {self.frames} frames)"

    @property
    def is_open(self) -> bool:
        """Whether it was opened and not closed yet."""
        return self._state == "open"

    def open(self) -> None:
        """Make the folder and take its lock; does nothing while it is open."""
        if self._state == "closed":
            raise RecordingError(
                f"expected a recording that was not closed, got {self.folder}: make another "
                "Recorder with a folder of its own"
            )
        if self._state == "open":
            return
        self._prepare()
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="rm-record")
        # a segment becomes whole while the next one is being written
        self._finisher = ThreadPoolExecutor(1, thread_name_prefix="rm-segment")
        self._finishing: tuple[str, Future[None]] | None = None
        self._state = "open"

    def begin(self, run: RunInfo) -> None:
        """Open the recorder for a run, whose source, engine and chunks it will describe."""
        self.open()
        self._run = run
        self._films = run.share(Films)

    def write(self, chunk: Chunk) -> None:
        """Append one chunk; returns when it is encoded and handed to the operating system."""
        self.open()
        if self._broken:
            raise RecordingError(
                f"expected a recording that can be written, got {self.folder}, which failed "
                "before: free some disk space and record again"
            )
        chunk = replace(chunk, sources=self._sources_of(chunk))
        self._source = chunk.sources[-1]
        streams = self._streams_of(chunk)
        segment = self._segment
        is_new_tick = segment is None or int(chunk.frame_ids[0]) != segment.first_id
        if is_new_tick:
            self._check_room()  # what is there already is closed as usual
        try:
            if segment is None or is_new_tick:
                segment = self._segment = self._rotated(segment, chunk)
            segment.write(chunk, streams)
        except RecordingError:
            self._broken = True
            raise
        self.frames += len(chunk)
        self._lost_frames += chunk.dropped_before

    def close(self) -> None:
        """Finish all files; may be called twice. After a failure, files stay as far as they got."""
        was_open, self._state = self.is_open, "closed"
        if not was_open:
            return
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
            self._mark_finished(self._segment.folder.name)
        self._meta = replace(
            self._meta,
            about=self._final_about(self._meta.about),
            complete=True,
            frames=self.frames,
            lost_frames=self._lost_frames,
            host={**self._meta.host, **memory_used()},
        )
        self._meta.write(self.folder)

    def _sources_of(self, chunk: Chunk) -> tuple[SourceInfo, ...]:
        """Return the source of each frame as it reports it, completed by `about`."""
        given = self._given
        if not chunk.sources:
            own = self._own_source
            about = replace(given, source=own)
            weather = about.weather if about.weather != own.weather_words else own.weather
            return (replace(own, town=about.town, weather=weather),) * len(chunk)
        # `about` may repeat its own source, which is a snapshot: only what differs was given
        town = given.town if given.town != given.source.town else ""
        weather = given.weather if given.weather != given.source.weather_words else ""
        if not (town or weather):
            return chunk.sources
        return tuple(
            replace(one, town=one.town or town, weather=one.weather or weather)
            for one in chunk.sources
        )

    @property
    def _own_source(self) -> SourceInfo:
        """The source of frames that report none: that of `about`, else that of the run."""
        if self._given.source != SourceInfo() or self._run is None:
            return self._given.source
        return self._run.source_info

    def _about(self, source: SourceInfo) -> About:
        """Return the description of frames that came from `source`."""
        given, run = self._given, self._run
        if given.source != SourceInfo():
            source = given.source
        about = replace(given, source=source)  # fills in what was not given
        if run is None:
            return about
        return replace(
            about,
            engine=given.engine or run.engine.name,
            engine_sha256=given.engine_sha256 or run.engine.sha256,
            engine_licence=given.engine_licence or run.engine.licence,
            policy=run.policy,
        )

    def _final_about(self, about: About) -> About:
        """Return `about` with the source as of now, but town and weather of the first frame.

        Later towns and weathers are in the segments and in the frames table.
        """
        first = about.source
        now = self._own_source if self._run is not None else self._source
        if now.simulator != first.simulator:  # it reports nothing, or no longer
            return about
        at_end = replace(
            now,
            map=first.map,
            town=first.town,
            weather=first.weather,
            cameras=now.cameras if now.town == first.town else first.cameras,
        )
        return replace(about, source=at_end)

    def _rotated(self, segment: OpenSegment | None, chunk: Chunk) -> OpenSegment:
        """Return the open segment, or a new one if it is full or the world changed."""
        if segment is not None:
            now_s = float(chunk.timestamps[-1])
            began_s = now_s if segment.began_s is None else segment.began_s
            is_short = now_s - began_s < self._segment_s and segment.bytes() < self._segment_bytes
            if is_short and not self._is_another_world(segment, chunk):
                return segment
            self._await_finished()
            segment.close_files()
            self._finishing = (segment.folder.name, self._finisher.submit(segment.finish))
        self._begun += 1
        first = chunk.sources[0]
        assert self._meta is not None  # every camera was met before
        meta = self._meta.with_conditions(first.town, first.weather_words)
        maps = {} if self._run is None else getattr(self._run.source, "opendrive", {})
        road_map = maps.get(first.town) or self._opendrive.get(first.town)
        if road_map and first.town not in meta.road_maps:
            meta = keep_road_map(meta, self.folder, first.town, road_map)
        if meta != self._meta:
            self._meta = meta
            meta.write(self.folder)
        return OpenSegment(
            self.folder / SEGMENTS / segment_name(self._begun - 1),
            about=self._about(first),
            fps=self._chunk_spec().fps,
            pictures=self._pictures,
            pool=self._pool,
            films=self._films,
        )

    def _is_another_world(self, segment: OpenSegment, chunk: Chunk) -> bool:
        """Return whether the clock fell, or the town or the weather changed."""
        source, before = chunk.sources[0], segment.source
        if before is None:  # nothing was written to it yet
            return False
        fell = float(chunk.timestamps[0]) < segment.last_s
        return fell or (source.town, source.weather_words) != (before.town, before.weather_words)

    def _chunk_spec(self) -> ChunkSpec:
        spec = self._spec or (None if self._run is None else self._run.spec)
        if spec is None:
            raise ConfigError(
                f"expected the ChunkSpec of what is recorded in {self.folder}, got none: give it "
                "to Recorder(folder, spec), or give the Recorder to run()"
            )
        return spec

    def _await_finished(self) -> None:
        if self._finishing is not None:
            (name, future), self._finishing = self._finishing, None
            future.result()
            self._mark_finished(name)

    def _mark_finished(self, name: str) -> None:
        """Add a finished segment to meta.json."""
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
            self._add_camera(chunk, camera)
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

    def _add_camera(self, chunk: Chunk, camera: Camera) -> None:
        """Add a new camera to meta.json and calib.json."""
        name = chunk.camera
        plain_name(name, "a camera name", error=RecordingError)
        if self._meta is None:
            self._meta = Meta(
                about=self._about(self._source),
                spec=replace(self._chunk_spec(), width=camera.width, height=camera.height),
                cameras={},
                created=datetime.now(UTC).isoformat(timespec="seconds"),
                rotation={"segment_s": self._segment_s, "segment_bytes": self._segment_bytes},
            )
        self._meta = replace(self._meta, cameras={**self._meta.cameras, name: camera})
        known = self._source.cameras.get(name)
        self._calibration[name] = calibrate(chunk, known)
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

    def _prepare(self) -> None:
        check_place(self.folder, overwrite=self._overwrite)
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
                f"expected to write in {self.folder}, got {reason(error)}: record elsewhere"
            ) from error
