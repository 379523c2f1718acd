"""Plays a recorded driving sequence as a source, so that any engine can realize it again."""

from __future__ import annotations

import contextlib
import copy
import heapq
import logging
import operator
import time
from collections.abc import Collection, Generator, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, SupportsIndex, overload

import numpy as np
from numpy.typing import NDArray

from realmaster_live.errors import ConfigError, RecordingError
from realmaster_live.frames.chunk import Frame
from realmaster_live.frames.source_info import CameraInfo, SourceInfo
from realmaster_live.recording import sensor_readings
from realmaster_live.recording.about import Meta
from realmaster_live.recording.calibration import read_calibration
from realmaster_live.recording.camera_rows import CameraRows
from realmaster_live.recording.choice import chosen
from realmaster_live.recording.excerpt import Excerpt
from realmaster_live.recording.packing import PACKINGS
from realmaster_live.recording.random_access import RandomAccess, frame_places
from realmaster_live.recording.reading import SceneFacts, Segment, open_segments
from realmaster_live.recording.road_maps import read_road_maps
from realmaster_live.recording.sample import Sample
from realmaster_live.recording.scenes import scene_facts, scene_parts
from realmaster_live.recording.tables import ALL_SCHEMAS, pa

log = logging.getLogger(__name__)
Damaged = Literal["raise", "skip"]
_Order = tuple[int, float, int, int]  # segment, simulation clock, frame number, camera


class Recording:
    """A source that yields the rendered frames of a recording with their labels and poses.

    An interrupted recording plays up to the last frame that all of its files have.

    Args:
        folder: where a Recorder wrote.
        cameras: which to play; None for all.
        labels: which labels `frames` yields; None for all that were recorded.
        pace: yield frames at the speed of the simulation clock, not as fast as they decode.
        verify: compare each file with the recorder's checksum when it is first used (about one
            second per gigabyte), because decoders conceal damage without reporting it.

    Raises:
        RecordingError: a file is missing or damaged; the message names it.
        ConfigError: a requested camera or label was not recorded.
    """

    def __init__(
        self,
        folder: str | Path,
        *,
        cameras: Collection[str] | None = None,
        labels: Collection[str] | None = None,
        pace: bool = False,
        verify: bool = True,
    ) -> None:
        self.folder = Path(folder)
        self.meta = Meta.read(self.folder)
        self.pace = pace
        self.cameras = chosen("cameras", cameras, tuple(self.meta.cameras))
        recorded = [
            name
            for name in PACKINGS
            if any(name in self.meta.cameras[camera].streams for camera in self.cameras)
        ]
        self.labels = chosen("labels", labels, tuple(recorded))
        self.damaged: dict[str, str] = {}  # segment that was skipped -> reason
        self._closed = False
        self._random = RandomAccess()
        self._segments = open_segments(self.folder, self.meta, verify=verify)

    def __enter__(self) -> Recording:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __len__(self) -> int:
        """Return the number of frames of all cameras."""
        return sum(segment.count(camera) for segment in self._segments for camera in self.cameras)

    @overload
    def __getitem__(self, index: SupportsIndex) -> Sample: ...
    @overload
    def __getitem__(self, index: slice) -> Excerpt: ...
    def __getitem__(self, index: SupportsIndex | slice) -> Sample | Excerpt:
        """Return what was recorded of a frame, in the order of `frames`, or a slice of them.

        Negative indices count from the end. A slice decodes each frame when it is asked for.

        Raises:
            IndexError: there are fewer frames.
            RecordingError: a file is damaged, or the recording was closed before.
        """
        if isinstance(index, slice):
            return Excerpt(self._sample_at, range(len(self))[index], self)
        return self._sample_at(operator.index(index))

    def _sample_at(self, index: int) -> Sample:
        self._check_open()
        number, camera, row = self._places[index].tolist()
        name = self.cameras[camera]
        recorded = self.streams(name)
        wanted = [one for one in recorded if one in ("sim", "real") or one in self.labels]
        return self._random.sample(self._segments[number], name, row, wanted)

    def __iter__(self) -> Iterator[Frame]:
        """Yield what `frames` does."""
        return self.frames()

    def __repr__(self) -> str:
        """Show the folder, the town, the frames and whether it is complete."""
        meta = self.meta
        state = "complete" if meta.complete else "not complete: run realmaster dataset repair"
        return (
            f"Recording({str(self.folder)!r}, {meta.about.town or 'an unnamed town'}, "
            f"{len(self)} frames, cameras: {', '.join(self.cameras)}, {state})"
        )

    @property
    def info(self) -> SourceInfo:
        """What the frames came from."""
        about = self.meta.about
        cameras = {
            name: CameraInfo(width=one.width, height=one.height)
            for name, one in self.meta.cameras.items()
        }
        return replace(
            about.source,
            town=about.town,
            route=about.route,
            seed=about.seed,
            licence=about.licence,
            weather=about.source.weather or about.weather,
            cameras=about.source.cameras or cameras,
        )

    def scenes(self, *, by_weather: bool = False) -> tuple[Recording, ...]:
        """Return the recording cut where the town changes or time falls, in order.

        A recording goes on when another town is loaded; each scene is a recording with the facts of
        its own town. `by_weather` cuts it where the weather changes, too.
        """
        parts = scene_parts(self._segments, self.cameras, by_weather=by_weather)
        if len(parts) <= 1:
            return (self,)
        return tuple(self._part(facts, segments) for facts, segments in parts)

    def _part(self, facts: SceneFacts, segments: list[Segment]) -> Recording:
        about = self.meta.about
        part = copy.copy(self)
        part._segments = segments
        part.__dict__.pop("_places", None)  # those of the whole
        part.damaged = {}
        source = next(one.source for one in segments if scene_facts(one, self.cameras))
        source = source.in_conditions(facts.town, facts.weather)
        part.meta = replace(
            self.meta,
            about=replace(about, source=source, town=facts.town, weather=facts.weather),
            segments=tuple(one.folder.name for one in segments),
            frames=len(part),
        )
        return part

    @cached_property
    def _places(self) -> NDArray[np.int64]:
        """(N, 3) segment, camera and row of every frame, in the order of `frames`."""
        return frame_places(self._segments, self.cameras)

    @cached_property
    def calibration(self) -> dict[str, Any]:
        """Camera name -> size, K, distortion and where it sits, as in calib.json."""
        return read_calibration(self.folder)

    @cached_property
    def opendrive(self) -> dict[str, str]:
        """Town -> OpenDRIVE text of its roads, for the towns whose source gave it."""
        return read_road_maps(self.folder, self.meta)

    def streams(self, camera: str) -> tuple[str, ...]:
        """Return what was recorded of a camera: "sim", "real" and labels."""
        self._check_camera(camera)
        return tuple(self.meta.cameras[camera].streams)

    @property
    def segments(self) -> tuple[Segment, ...]:
        """Its segments in order; of a scene, those of the scene."""
        return tuple(self._segments)

    def segment_folders(self) -> list[Path]:
        """Return the folders of its segments, in order; of a scene, those of the scene."""
        return [segment.folder for segment in self._segments]

    def table(self, name: str, camera: str | None = None) -> Any:
        """Return a table of all segments as one pyarrow Table.

        Args:
            name: "frames", "objects" or "trust", or of the vehicle "ego" or "events".
            camera: whose rows; None for all. The vehicle's tables have none.
        """
        if camera is not None:
            self._check_camera(camera)
        tables = [segment.rows(name, camera) for segment in self._segments]
        return pa.concat_tables([ALL_SCHEMAS[name].empty_table(), *tables])

    @property
    def sensor_counts(self) -> dict[str, int]:
        """What `sensors` takes -> how many readings of it were recorded."""
        return sensor_readings.count_readings(self._segments)

    def sensors(self, name: str) -> Iterator[tuple[int, Any]]:
        """Yield (frame number, reading) of one sensor in order; a missing reading is left out.

        Args:
            name: "control", "imu", "gnss", "collision", "lane_invasion", or a lidar's or radar's
                name; the readings are those of `frames.ego`.

        Raises:
            ConfigError: it was not recorded; the message says how to record it.
            RecordingError: a file is damaged.
        """
        sensor_readings.check_recorded(name, self._segments, self.folder)
        return sensor_readings.readings(name, self._segments)

    def frames(self) -> Iterator[Frame]:
        """Yield the frames tick by tick; `captured_at` is the time at which each is yielded.

        Raises:
            RecordingError: a file is damaged, or the recording was closed before.
        """
        self._check_open()
        began_s, last_s = None, 0.0  # host clock minus simulation clock; of the frame before
        with ExitStack() as stack:
            players = [stack.enter_context(closing(self._played(name))) for name in self.cameras]
            for _, frame in heapq.merge(*players):
                if self._closed:
                    return
                if self.pace:
                    if frame.timestamp < last_s:  # another town: its clock began anew
                        began_s = None
                    last_s = frame.timestamp
                    began_s = began_s or time.monotonic() - frame.timestamp
                    time.sleep(max(0.0, began_s + frame.timestamp - time.monotonic()))
                yield replace(frame, captured_at=time.monotonic())

    def samples(
        self,
        camera: str,
        *,
        streams: Collection[str] | None = None,
        every: int = 1,
        frames: Sequence[tuple[int, int]] | None = None,
        damaged: Damaged = "raise",
    ) -> Iterator[Sample]:
        """Yield what was recorded of one camera, in order.

        Args:
            camera: its name.
            streams: what to decode, among "sim", "real" and labels; None for all. The others are
                not decoded: without "sim" a frame's image is (0, 0, 3).
            every: take every n-th frame; losses before the skipped ones are added to the next.
            frames: of those, take the ones whose numbers are in these ranges, both ends included;
                segments without any are not opened.
            damaged: "skip" continues with the next segment, warns, and records the reason in
                `damaged`.
        """
        self._check_camera(camera)
        decoded = chosen("streams", streams, self.streams(camera))
        if every < 1:
            raise ConfigError(f"expected every of 1 or more, got {every}: raise it")
        return self._samples(camera, decoded, every, frames, damaged, self._segments)

    def pairs(
        self, camera: str | None = None
    ) -> Iterator[tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
        """Yield (rendered, realized) pictures of a camera, the first one by default.

        Each is (H, W, 3) uint8 sRGB.
        """
        camera = self.cameras[0] if camera is None else camera
        if "real" not in self.streams(camera):
            raise RecordingError(
                f"expected realized pictures in {self.folder}, got rendered ones only: replay it "
                "through an engine first"
            )
        for sample in self.samples(camera, streams=("sim", "real")):
            assert sample.real is not None
            yield sample.frame.image, sample.real

    def pictures(self, camera: str, stream: str, wanted: range) -> Iterator[NDArray[Any]]:
        """Yield one stream's pictures or labels at ascending indices among a camera's frames."""
        chosen("streams", [stream], self.streams(camera))
        first = 0
        for segment in self._segments:
            if first >= wanted.stop:
                return
            count = segment.count(camera)
            start = max(wanted.start - first, (wanted.start - first) % wanted.step)
            places = range(start, min(wanted.stop - first, count), wanted.step)
            for images in segment.pictures(camera, [stream], places):
                yield images[stream]
            first += count

    def check(self) -> None:
        """Compare every file with its hash now; RecordingError names the first that differs."""
        for segment in self._segments:
            segment.check(self.cameras)

    def close(self) -> None:
        """End `frames`, and close what was opened for single ones; may be called twice."""
        self._closed = True
        self._random.close()

    def _played(self, camera: str) -> Generator[tuple[_Order, Frame], None, None]:
        """Yield the frames of a camera, each with what orders it among those of all cameras.

        Segments come one after another: the clock may fall between two of them.
        """
        order = self.cameras.index(camera)
        recorded = self.streams(camera)
        streams = ["sim", *(name for name in self.labels if name in recorded)]
        for number, segment in enumerate(self._segments):
            for sample in self._samples(camera, streams, 1, None, "raise", [segment]):
                frame = sample.frame
                yield (number, frame.timestamp, frame.frame_id, order), frame

    def _samples(
        self,
        camera: str,
        streams: Collection[str],
        every: int,
        frames: Sequence[tuple[int, int]] | None,
        damaged: Damaged,
        segments: Sequence[Segment],
    ) -> Iterator[Sample]:
        passed, lost = 0, 0  # frames, and losses since the last one that was yielded
        for segment in segments:
            try:
                rows = CameraRows.read(segment, camera)
                places = np.arange(-passed % every, len(rows), every)
                if frames is not None:
                    places = places[_in_ranges(rows.frame_ids[places], frames)]
                losses = np.cumsum(rows.dropped)
                reported = 0
                images = segment.pictures(camera, streams, [int(rows.pictures[i]) for i in places])
                for place, decoded in zip(places.tolist(), images, strict=False):
                    missing = lost + int(losses[place]) - reported
                    lost, reported = 0, int(losses[place])
                    yield rows.sample(place, decoded, dropped_before=missing)
                lost += (int(losses[-1]) if len(rows) else 0) - reported
                passed += len(rows)
            except RecordingError as error:
                if damaged == "raise":
                    raise
                self.damaged[segment.folder.name] = str(error)
                log.warning("segment %s is left out: %s", segment.folder.name, error)
                with contextlib.suppress(RecordingError):  # the number is unknown
                    lost += segment.count(camera)

    def _check_open(self) -> None:
        if self._closed:
            raise RecordingError(
                f"expected an open recording, got {self.folder}, which was closed: open it again"
            )

    def _check_camera(self, camera: str) -> None:
        chosen("cameras", [camera], tuple(self.meta.cameras))


def _in_ranges(numbers: NDArray[np.int64], ranges: Sequence[tuple[int, int]]) -> NDArray[np.bool_]:
    """Return which numbers are in one of the ranges, both ends included."""
    found = np.zeros(len(numbers), np.bool_)
    for first, last in ranges:
        found |= (numbers >= first) & (numbers <= last)
    return found
