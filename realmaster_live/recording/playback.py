"""Plays a recorded driving sequence as a source, so that any engine can realize it again."""

from __future__ import annotations

import contextlib
import copy
import heapq
import logging
import time
from collections.abc import Collection, Generator, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from realmaster_live.errors import ConfigError, RecordingError
from realmaster_live.frames.chunk import Frame
from realmaster_live.frames.source_info import CameraInfo, SourceInfo
from realmaster_live.recording.about import Meta
from realmaster_live.recording.calibration import read_calibration
from realmaster_live.recording.camera_rows import CameraRows
from realmaster_live.recording.packing import PACKINGS
from realmaster_live.recording.reading import SceneFacts, Segment, open_segments
from realmaster_live.recording.sample import Sample
from realmaster_live.recording.tables import SCHEMAS, pa

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
        self.cameras = _chosen("cameras", cameras, tuple(self.meta.cameras))
        recorded = [
            name
            for name in PACKINGS
            if any(name in self.meta.cameras[camera].streams for camera in self.cameras)
        ]
        self.labels = _chosen("labels", labels, tuple(recorded))
        self.damaged: dict[str, str] = {}  # segment that was skipped -> reason
        self._closed = False
        self._segments = open_segments(self.folder, self.meta, verify=verify)

    def __enter__(self) -> Recording:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def __len__(self) -> int:
        """Return the number of frames of all cameras."""
        return sum(segment.count(camera) for segment in self._segments for camera in self.cameras)

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
        parts: list[tuple[SceneFacts, list[Segment]]] = []
        before: SceneFacts | None = None
        unknown: list[Segment] = []  # empty or damaged: they go with what comes before them
        for segment in self._segments:
            facts = _facts_of(segment, self.cameras)
            if facts is None:
                (parts[-1][1] if parts else unknown).append(segment)
                continue
            same = before is not None and before.continues_in(facts)
            if by_weather and before is not None and before.weather != facts.weather:
                same = False
            if same:
                parts[-1][1].append(segment)
            else:
                parts.append((facts, [*unknown, segment]))
                unknown = []
            before = facts
        if len(parts) <= 1:
            return (self,)
        return tuple(self._part(facts, segments) for facts, segments in parts)

    def _part(self, facts: SceneFacts, segments: list[Segment]) -> Recording:
        about = self.meta.about
        part = copy.copy(self)
        part._segments = segments
        part.damaged = {}
        source = next(one.source for one in segments if _facts_of(one, self.cameras))
        source = source.in_conditions(facts.town, facts.weather)
        part.meta = replace(
            self.meta,
            about=replace(about, source=source, town=facts.town, weather=facts.weather),
            segments=tuple(one.folder.name for one in segments),
            frames=len(part),
        )
        return part

    @cached_property
    def calibration(self) -> dict[str, Any]:
        """Camera name -> size, K, distortion and where it sits, as in calib.json."""
        return read_calibration(self.folder)

    def streams(self, camera: str) -> tuple[str, ...]:
        """Return what was recorded of a camera: "sim", "real" and labels."""
        self._check_camera(camera)
        return tuple(self.meta.cameras[camera].streams)

    def segment_folders(self) -> list[Path]:
        """Return the folders of its segments, in order; of a scene, those of the scene."""
        return [segment.folder for segment in self._segments]

    def table(self, name: str, camera: str | None = None) -> Any:
        """Return "frames", "objects" or "trust" of all segments as one pyarrow Table."""
        if camera is not None:
            self._check_camera(camera)
        tables = [segment.rows(name, camera) for segment in self._segments]
        return pa.concat_tables([SCHEMAS[name].empty_table(), *tables])

    def frames(self) -> Iterator[Frame]:
        """Yield the frames tick by tick; `captured_at` is the time at which each is yielded.

        Raises:
            RecordingError: a file is damaged, or the recording was closed before.
        """
        if self._closed:
            raise RecordingError(
                f"expected an open recording, got {self.folder}, which was closed: open it again"
            )
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
        damaged: Damaged = "raise",
    ) -> Iterator[Sample]:
        """Yield what was recorded of one camera, in order.

        Args:
            camera: its name.
            streams: what to decode, among "sim", "real" and labels; None for all. The others are
                not decoded: without "sim" a frame's image is (0, 0, 3).
            every: take every n-th frame; losses before the skipped ones are added to the next.
            damaged: "skip" continues with the next segment, warns, and records the reason in
                `damaged`.
        """
        self._check_camera(camera)
        decoded = _chosen("streams", streams, self.streams(camera))
        if every < 1:
            raise ConfigError(f"expected every of 1 or more, got {every}: raise it")
        return self._samples(camera, decoded, every, damaged, self._segments)

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
        _chosen("streams", [stream], self.streams(camera))
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
        """End `frames`; may be called twice."""
        self._closed = True

    def _played(self, camera: str) -> Generator[tuple[_Order, Frame], None, None]:
        """Yield the frames of a camera, each with what orders it among those of all cameras.

        Segments come one after another: the clock may fall between two of them.
        """
        order = self.cameras.index(camera)
        recorded = self.streams(camera)
        streams = ["sim", *(name for name in self.labels if name in recorded)]
        for number, segment in enumerate(self._segments):
            for sample in self._samples(camera, streams, 1, "raise", [segment]):
                frame = sample.frame
                yield (number, frame.timestamp, frame.frame_id, order), frame

    def _samples(
        self,
        camera: str,
        streams: Collection[str],
        every: int,
        damaged: Damaged,
        segments: Sequence[Segment],
    ) -> Iterator[Sample]:
        passed, lost = 0, 0  # frames, and losses since the last one that was yielded
        for segment in segments:
            try:
                rows = CameraRows.read(segment, camera)
                places = np.arange(-passed % every, len(rows), every)
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

    def _check_camera(self, camera: str) -> None:
        _chosen("cameras", [camera], tuple(self.meta.cameras))


def _facts_of(segment: Segment, cameras: Collection[str]) -> SceneFacts | None:
    """Return where a segment was recorded; None where it is empty or damaged."""
    try:
        return segment.scene(cameras)
    except RecordingError as error:
        log.debug("%s", error)  # raised again when its frames are read
        return None


def _chosen(
    what: str, requested: Collection[str] | None, recorded: tuple[str, ...]
) -> tuple[str, ...]:
    """Return what was requested, in the order in which it was recorded."""
    unknown = sorted(set(requested or ()) - set(recorded))
    if unknown:
        raise ConfigError(
            f"expected {what} among {', '.join(recorded) or 'none'}, which were recorded, got "
            f"{', '.join(unknown)}: leave them out or record again with them"
        )
    return recorded if requested is None else tuple(n for n in recorded if n in requested)
