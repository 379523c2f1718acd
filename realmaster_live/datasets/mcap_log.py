"""MCAP with Foxglove's schemas: one file for each recording, to inspect and to replay.

    out/train/DRIVE.mcap

    /tf                       FrameTransforms    map to ego to each camera
    /things                   SceneUpdate        3D boxes of the objects in view
    /CAMERA/calibration       CameraCalibration
    /CAMERA/sim, /CAMERA/real CompressedVideo    the recording's own H.264 packets, or
                              CompressedImage    JPEG, if the packets cannot be copied
    /CAMERA/boxes             ImageAnnotations   boxes of the visible pixels
    /CAMERA/depth             RawImage           16UC1 millimetres, with the option `depth`
    /CAMERA/trust             JSON               the gate's scores, if there was a gate
    /ego/state, /ego/imu      JSON               speed, controls and the inertial reading
    /ego/location             LocationFix        the GNSS reading
    /ego/events               JSON               collisions and crossed lines
    /SENSOR                   PointCloud         each sweep of a lidar or radar
    /conditions               JSON               town, route, weather, prompt and licence, when
                                                 they change

All times are the simulation's. If its clock jumps back because the world was reloaded, times
continue one second later. A log contains every frame and every label, because the rules for labels
are meant for training.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from realmaster_live.datasets.annex_b import PassThrough
from realmaster_live.datasets.folder import ExportFolder, ExportOptions
from realmaster_live.datasets.frames_csv import facts_of_frame
from realmaster_live.datasets.selection import PICTURES, Drive, Selection, open_drives
from realmaster_live.datasets.summary import Summary
from realmaster_live.datasets.ticks import MonotonicClock, in_stretches
from realmaster_live.frames.classes import class_name
from realmaster_live.messages import foxglove as messages
from realmaster_live.messages.foxglove_log import FoxgloveLog
from realmaster_live.optional import require
from realmaster_live.recording.sample import Sample
from realmaster_live.system.atomic_files import part_of, settle
from realmaster_live.system.pictures import encode

FORMAT = "mcap"
NEEDS: tuple[str, ...] = ()


def export(
    selection: Selection,
    out: Path,
    *,
    options: ExportOptions | None = None,
    depth: bool = False,
) -> Summary:
    """Write a selection as MCAP files; `depth` adds depth, about 2 bytes for each pixel.

    Raises:
        ConfigError: the folder or the selection cannot be used, or a camera has no depth.
        RecordingError: a recording cannot be read, or the export cannot be written.
        MissingDependency: foxglove-sdk is not installed.
    """
    options = options or ExportOptions()
    require("foxglove", extra="export")
    if depth:
        drives = open_drives(selection, f"{FORMAT} with depth", (*NEEDS, "depth"))
    else:
        drives = open_drives(selection, FORMAT, NEEDS)
    folder = ExportFolder(out, FORMAT, drives, selection, options)
    for drive in drives:
        with folder.drive(drive) as tally:
            if tally is None:
                continue
            path = folder.written.claim(out / drive.split / f"{drive.name}.mcap")
            counts: Counter[str] = Counter()
            with part_of(path) as part:
                log = _Log(drive, selection, options, depth=depth)
                with log.opened(part):
                    for sample in log.samples():
                        log.write(sample)
                        camera = sample.frame.camera
                        folder.note(f"{drive.name}/{camera}/{counts[camera]:06d}", drive, sample)
                        counts[camera] += 1
                        tally.frames += 1
                        visible = (one for one in sample.annotations if one.visible is not None)
                        tally.labels.update(class_name(one.class_id) for one in visible)
                settle(part, path)
            folder.write_part(drive, path.name)
    return folder.finish()


class _Log:
    """Writes one recording."""

    def __init__(
        self, drive: Drive, selection: Selection, options: ExportOptions, *, depth: bool
    ) -> None:
        self._drive, self._selection, self._quality = drive, selection, options.quality
        self._log = FoxgloveLog()
        self._videos: dict[tuple[str, str], PassThrough] = {}
        self._streams: dict[str, list[str]] = {}
        self._conditions: dict[str, Any] = {}  # of the latest frame
        for camera in drive.cameras:
            self._streams[camera] = ["depth"] if depth else []
            for stream in PICTURES[selection.variant]:
                video = PassThrough(drive.recording, camera, stream)
                is_whole = selection.every == 1 and selection.frames is None
                if is_whole and video.possible():
                    self._videos[camera, stream] = video
                else:
                    self._streams[camera].append(stream)

    @contextmanager
    def opened(self, path: Path) -> Iterator[None]:
        """Open the file for the duration of a `with` block."""
        foxglove = require("foxglove", extra="export")
        meta = self._drive.recording.meta
        facts = {
            "name": self._drive.name,
            "split": self._drive.split,
            "variant": self._selection.variant,
            "created": meta.created,
            "town": meta.about.town,
            "route": meta.about.route,
            "weather": meta.about.weather,
            "engine": meta.about.engine,
            "licence": meta.about.licence,
            "clock": "simulated seconds",
        }
        with foxglove.open_mcap(path, context=self._log.context) as writer:
            writer.write_metadata("recording", facts)
            yield

    def samples(self) -> Iterator[Sample]:
        """Yield the frames of all cameras in order of a simulation clock that is made monotonic."""
        players = [
            in_stretches(self._drive.decoded(camera, self._selection, streams))
            for camera, streams in self._streams.items()
        ]
        clock = MonotonicClock()
        merged = heapq.merge(*players, key=lambda item: (item[0], item[1].frame.timestamp))
        for stretch, sample in merged:
            now = clock.at(stretch, sample.frame.timestamp) / 1e6
            yield replace(sample, frame=replace(sample.frame, timestamp=now))

    def write(self, sample: Sample) -> None:
        """Write all messages of a frame."""
        frame, camera = sample.frame, sample.frame.camera
        conditions = facts_of_frame(self._drive, sample, self._selection.variant)
        del conditions["trust"]  # has a topic of its own
        if conditions != self._conditions:
            self._conditions = conditions
            self._log.log("/conditions", "", conditions.copy, frame)
        kept = self._drive.recording.meta.cameras[camera]
        size = kept.width, kept.height
        self._log.pose(frame, size)
        self._log.things(frame)
        if camera == self._drive.cameras[0]:
            self._log.ego(frame)
        boxes = partial(messages.boxes, frame, sample.annotations, size)
        self._log.log(f"/{camera}/boxes", "ImageAnnotations", boxes, frame)
        for stream in PICTURES[self._selection.variant]:
            self._picture(stream, sample)
        if "depth" in frame.labels:
            depth = partial(messages.depth_image, frame)
            self._log.log(f"/{camera}/depth", "RawImage", depth, frame)
        if sample.trust is not None:
            self._log.trust(frame, sample.trust)

    def _picture(self, stream: str, sample: Sample) -> None:
        camera = sample.frame.camera
        video = self._videos.get((camera, stream))
        if video is None:
            pixels = sample.frame.image if stream == "sim" else sample.real
            assert pixels is not None
            still = partial(messages.still, sample.frame, encode(pixels, ".jpg", self._quality))
            self._log.log(f"/{camera}/{stream}", "CompressedImage", still, sample.frame)
            return
        packet = video.packet(sample.frame.frame_id)
        if packet is not None:
            picture = partial(messages.video, sample.frame, packet)
            self._log.log(f"/{camera}/{stream}", "CompressedVideo", picture, sample.frame)
