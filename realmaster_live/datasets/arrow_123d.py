"""123D: logs of Arrow files, written and read by py123d.

    out/logs/realmaster_train/DRIVE-000/*.arrow    ego, boxes and cameras of an uninterrupted part
    out/frames.csv                                 weather, licence and trust of every picture

`ArrowSceneBuilder(logs_root="out/logs", maps_root="out/maps")` opens it; there are no maps. In a
paired export out/real and out/sim hold the logs with the realized and the rendered pictures.

Cameras have py123d's names for the direction in which they look. Boxes are those of the objects
that the rules keep in some camera, with the default labels of 123D. The vehicle's size is nominal,
as a recording does not have it: EGO_SIZE_M.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realmaster_live.annotations.masks import RIDER
from realmaster_live.datasets.categories import Categories
from realmaster_live.datasets.coverage import categories_for
from realmaster_live.datasets.ego import cam_to_ego, ego_to_world
from realmaster_live.datasets.folder import ExportFolder, ExportOptions
from realmaster_live.datasets.nuscenes_taxonomy import channels
from realmaster_live.datasets.rules import judge, trust_by_mask
from realmaster_live.datasets.selection import PICTURES, Drive, Selection, open_drives
from realmaster_live.datasets.sequences import in_sequences
from realmaster_live.datasets.summary import Summary, Tally
from realmaster_live.datasets.ticks import Tick, ticks
from realmaster_live.errors import ConfigError
from realmaster_live.frames.classes import CLASS_IDS
from realmaster_live.frames.objects import SceneObject
from realmaster_live.optional import require
from realmaster_live.recording.sample import Sample
from realmaster_live.system.pictures import encode

FORMAT = "arrow_123d"
NEEDS: tuple[str, ...] = ("instance",)
DATASET = "realmaster"
EGO_SIZE_M = (4.8, 2.0, 1.6)  # length, width, height
WHEEL_BASE_M = 2.9
UNFINISHED = ".unfinished"
_WORDS = {
    "pedestrian": "PERSON", "car": "VEHICLE", "truck": "VEHICLE", "bus": "VEHICLE",
    "train": "TRAIN", "motorcycle": "TWO_WHEELER", "bicycle": "TWO_WHEELER",
    "traffic_light": "TRAFFIC_LIGHT", "traffic_sign": "TRAFFIC_SIGN",
}  # fmt: skip  # a rider belongs to the cycle's box
LABELS_123D = Categories(
    name="123D",
    of_class={number: _WORDS.get(word, "") for word, number in CLASS_IDS.items()},
    ids={
        "EGO": 0, "VEHICLE": 1, "TRAIN": 2, "TWO_WHEELER": 3, "PERSON": 4, "ANIMAL": 5,
        "TRAFFIC_SIGN": 6, "TRAFFIC_CONE": 7, "TRAFFIC_LIGHT": 8, "BARRIER": 9,
        "GENERIC_OBJECT": 10, "OTHER": 11,
    },
)  # fmt: skip
# py123d's names of pinhole cameras, by nuScenes' channel of the same direction
CAMERAS = {
    "CAM_FRONT": "PCAM_F0", "CAM_BACK": "PCAM_B0", "CAM_FRONT_LEFT": "PCAM_L0",
    "CAM_BACK_LEFT": "PCAM_L1", "CAM_FRONT_RIGHT": "PCAM_R0", "CAM_BACK_RIGHT": "PCAM_R1",
}  # fmt: skip
OTHERS = ("PCAM_L2", "PCAM_R2", "PCAM_STEREO_L", "PCAM_STEREO_R", "PCAM_D0")


def export(selection: Selection, out: Path, *, options: ExportOptions | None = None) -> Summary:
    """Write a selection as logs of 123D and return what was written.

    Raises:
        MissingDependency: py123d is not installed.
        ConfigError: the folder or the selection cannot be used, or a drive has too many cameras.
        RecordingError: a recording cannot be read, or the export cannot be written.
    """
    require("py123d.api.scene.arrow.arrow_log_writer", extra="arrow-123d")
    options = options or ExportOptions()
    drives = open_drives(selection, FORMAT, NEEDS)
    categories = categories_for(drives, options, LABELS_123D, NEEDS, known=LABELS_123D.ids)
    folder = ExportFolder(out, FORMAT, drives, selection, options)
    for drive in drives:
        with folder.drive(drive) as tally:
            if tally is not None:
                job = _Job(drive, selection, options, categories, folder, tally)
                job.run()
    return folder.finish()


class _Job:
    """Exports one recording: a log for each uninterrupted part of it and each kind of pictures."""

    def __init__(
        self,
        drive: Drive,
        selection: Selection,
        options: ExportOptions,
        categories: Categories,
        folder: ExportFolder,
        tally: Tally,
    ) -> None:
        self._drive, self._selection, self._options = drive, selection, options
        self._categories, self._folder, self._tally = categories, folder, tally
        self._split = f"{DATASET}_{drive.split}"
        self._unfinished = folder.out / UNFINISHED
        self._writers: dict[str, Any] = {}
        self._names: Mapping[str, str] = {}

    def run(self) -> None:
        """Write the logs."""
        name = ""
        shutil.rmtree(self._unfinished, ignore_errors=True)
        found = ticks(self._drive, self._selection, left_out=self._tally.left_out)
        frames = ((tick.samples[0], tick) for tick in found)
        for number, place, _, tick in in_sequences(frames, self._drive, self._selection):
            if place == 0:
                self._finish()
                name = f"{self._drive.name}-{number:03d}"
                self._begin(name, tick)
            self._add(tick)
            for sample in tick.samples:
                self._folder.note(f"{name}/{place:06d}/{sample.frame.camera}", self._drive, sample)
            self._tally.frames += len(tick.samples)
        self._finish()

    def _begin(self, name: str, tick: Tick) -> None:
        from py123d.api.scene.arrow.arrow_log_writer import ArrowLogWriter
        from py123d.api.scene.arrow.utils.log_writer_config import LogWriterConfig
        from py123d.datatypes import LogMetadata

        self._names = camera_names(self._drive, tick)
        town = self._drive.conditions(tick.samples[0]).town
        about = LogMetadata(DATASET, self._split, name, town or "unknown")
        for kind in PICTURES[self._selection.variant]:
            config = LogWriterConfig(camera_store_option="jpeg_binary", infer_ego_dynamics=True)
            root = self._unfinished / kind
            writer = ArrowLogWriter(config, root / "logs", root / "sensors")
            writer.reset(about)
            self._writers[kind] = writer

    def _add(self, tick: Tick) -> None:
        from py123d.datatypes import Timestamp
        from py123d.parser.base_dataset_parser import ModalitiesSync

        first = tick.samples[0]
        now = Timestamp.from_us(round(first.frame.timestamp * 1e6))
        common = [_ego(first, now), self._boxes(tick, now)]
        for kind, writer in self._writers.items():
            cameras = [self._camera(sample, kind, now) for sample in tick.samples]
            writer.write_sync(ModalitiesSync(now, [*common, *cameras]))

    def _boxes(self, tick: Tick, now: Any) -> Any:
        from py123d.datatypes import (
            BoxDetectionAttributes,
            BoxDetectionSE3,
            BoxDetectionsSE3,
            BoxDetectionsSE3Metadata,
        )
        from py123d.datatypes.detections.box_detection_label import DefaultBoxDetectionLabel
        from py123d.geometry import BoundingBoxSE3, Vector3D

        boxes = []
        for thing, category in self._kept(tick).values():
            label = DefaultBoxDetectionLabel(LABELS_123D.ids[category])
            boxes.append(
                BoxDetectionSE3(
                    BoxDetectionAttributes(label, str(thing.object_id)),
                    BoundingBoxSE3(_pose(thing.object_to_world), *thing.size.tolist()),
                    Vector3D(*thing.velocity.tolist()),
                )
            )
            self._tally.labels[category] += 1
        return BoxDetectionsSE3(boxes, now, BoxDetectionsSE3Metadata(DefaultBoxDetectionLabel))

    def _kept(self, tick: Tick) -> dict[int, tuple[SceneObject, str]]:
        """Return object -> it and its category, for those that the rules keep in some camera."""
        found: dict[int, tuple[SceneObject, str]] = {}
        for sample in tick.samples:
            trust = trust_by_mask(sample.trust)
            for one in sample.annotations:
                category = "" if one.class_id == RIDER else self._categories.of(one.class_id)
                if one.thing is not None and category:
                    decision = judge(one, trust, self._selection.rules)
                    if decision.fate == "keep":
                        found.setdefault(one.thing.object_id, (one.thing, category))
                    else:
                        self._tally.ignored[decision.reason] += 1
        return found

    def _camera(self, sample: Sample, kind: str, now: Any) -> Any:
        from py123d.datatypes import CameraID, PinholeCameraMetadata, PinholeIntrinsics
        from py123d.datatypes.sensors.pinhole_camera import PinholeDistortion
        from py123d.parser.base_dataset_parser import ParsedCamera

        frame = sample.frame
        matrix, (width, height) = frame.intrinsics, self._drive.size(frame.camera)
        metadata = PinholeCameraMetadata(
            camera_name=frame.camera,
            camera_id=CameraID[self._names[frame.camera]],
            intrinsics=PinholeIntrinsics(matrix[0, 0], matrix[1, 1], matrix[0, 2], matrix[1, 2]),
            distortion=PinholeDistortion(*frame.distortion.tolist()),
            width=width,
            height=height,
            camera_to_imu_se3=_pose(cam_to_ego(sample)),
        )
        picture = frame.image if kind == "sim" else sample.real
        assert picture is not None
        return ParsedCamera(
            metadata,
            now,
            _pose(frame.cam_to_world),
            byte_string=encode(picture, ".jpg", self._options.quality),
        )

    def _finish(self) -> None:
        """Close the logs, and put their files in place under names that the export claims."""
        several = len(self._writers) > 1
        for kind, writer in self._writers.items():
            writer.close()
            root = self._unfinished / kind
            for path in sorted(root.rglob("*")):
                if path.is_file():
                    inside = path.relative_to(root)
                    target = self._folder.out / (kind if several else "") / inside
                    target.parent.mkdir(parents=True, exist_ok=True)
                    path.replace(self._folder.written.claim(target))
        self._writers = {}
        shutil.rmtree(self._unfinished, ignore_errors=True)


def camera_names(drive: Drive, tick: Tick) -> dict[str, str]:
    """Return camera -> py123d's name.

    Raises:
        ConfigError: there are more cameras than names.
    """
    named = channels({one.frame.camera: cam_to_ego(one) for one in tick.samples})
    free = iter(OTHERS)
    found = {camera: CAMERAS.get(channel) or next(free, "") for camera, channel in named.items()}
    if "" in found.values():
        raise ConfigError(
            f"expected at most {len(CAMERAS) + len(OTHERS)} cameras in {drive.name} for 123D, got "
            f"{len(found)} in directions of which it has fewer: choose --cameras"
        )
    return found


def _ego(sample: Sample, now: Any) -> Any:
    from py123d.datatypes import EgoStateSE3, EgoStateSE3Metadata

    length, width, height = EGO_SIZE_M
    centre = np.eye(4)
    centre[2, 3] = height / 2  # a vehicle's origin is on the ground
    axle = np.eye(4)
    axle[0, 3] = -WHEEL_BASE_M / 2
    metadata = EgoStateSE3Metadata(
        vehicle_name="ego",
        width=width,
        length=length,
        height=height,
        wheel_base=WHEEL_BASE_M,
        center_to_imu_se3=_pose(centre),
        rear_axle_to_imu_se3=_pose(axle),
    )
    return EgoStateSE3.from_imu(_pose(ego_to_world(sample)), metadata, now)


def _pose(matrix: NDArray[np.float64]) -> Any:
    from py123d.geometry import PoseSE3

    return PoseSE3.from_transformation_matrix(np.asarray(matrix, np.float64))
