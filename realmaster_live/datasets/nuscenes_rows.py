"""One drive as rows of nuScenes' tables: what its cameras gave, linked once all have been read."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from realmaster_live.annotations import Annotation
from realmaster_live.datasets.nuscenes_moments import Moment, scenes_of
from realmaster_live.datasets.nuscenes_points import SCANNER_TO_EGO, points_in
from realmaster_live.datasets.nuscenes_tables import Tables, token_of
from realmaster_live.datasets.nuscenes_words import attribute, category, visibility
from realmaster_live.datasets.quaternion import to_quaternion
from realmaster_live.masks import RIDER
from realmaster_live.objects import SceneObject
from realmaster_live.recording.sample import Sample

Matrix = NDArray[np.float64]

LIDAR = "LIDAR_TOP"
# the axes of a vehicle whose camera looks forward: what carries a camera without a vehicle
FORWARD: Matrix = np.array(
    [[0.0, 0.0, 1.0, 0.0], [-1.0, 0.0, 0.0, 0.0], [0.0, -1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]]
)


def cam_to_ego(sample: Sample) -> Matrix:
    """Return (4, 4) the camera in its vehicle; a camera without one is its own, looking forward."""
    frame = sample.frame
    if frame.ego_to_world is None:
        return FORWARD
    return np.asarray(np.linalg.inv(frame.ego_to_world) @ frame.cam_to_world)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shot:
    """What one sensor gave at one moment."""

    timestamp: float
    ego: Matrix
    calibration: str
    file: str


@dataclass(slots=True)
class _Seen:
    """One thing at one key frame, over all cameras."""

    thing: SceneObject
    pixels: int = 0
    whole: float = 0.0  # pixels it would have if nothing hid it
    points: int = 0
    ridden: bool = False


class DriveRows:
    """Collects one drive and writes its rows.

    Args:
        tables: where to. name: of the drive.
        sizes: channel -> (width, height) of its pictures.
    """

    def __init__(self, tables: Tables, name: str, sizes: Mapping[str, tuple[int, int]]) -> None:
        self._tables = tables
        self._name = name
        self._sizes = sizes
        self._shots: dict[str, dict[int, _Shot]] = {channel: {} for channel in sizes}
        self._seen: dict[int, dict[int, _Seen]] = {}
        self._calibrated: set[str] = set()

    def add_picture(self, sample: Sample, *, channel: str, file: str) -> None:
        """Note one picture, which lies in `file`."""
        frame = sample.frame
        mount = cam_to_ego(sample)
        self._shots[channel][frame.frame_id] = _Shot(
            timestamp=frame.timestamp,
            ego=frame.cam_to_world @ np.linalg.inv(mount),
            calibration=self._calibration(channel, mount, frame.intrinsics),
            file=file,
        )

    def add_scan(self, sample: Sample, *, file: str) -> None:
        """Note the points of a key frame, which lie in `file`; of its first camera."""
        frame = sample.frame
        self._shots.setdefault(LIDAR, {})[frame.frame_id] = _Shot(
            timestamp=frame.timestamp,
            ego=frame.cam_to_world @ np.linalg.inv(cam_to_ego(sample)),
            calibration=self._calibration(LIDAR, SCANNER_TO_EGO, None),
            file=file,
        )

    def see(
        self,
        frame_id: int,
        annotations: Sequence[Annotation],
        points: NDArray[np.float64],  # (N, 3) metres, in the world, hit from this camera
    ) -> None:
        """Note what one camera shows of each thing at a key frame."""
        here = self._seen.setdefault(frame_id, {})
        riders = {one.mask_id: one.pixels for one in annotations if one.class_id == RIDER}
        for one in annotations:
            if one.thing is None or category(one.thing) is None or not one.pixels:
                continue
            seen = here.setdefault(one.thing.object_id, _Seen(one.thing))
            rider = riders.get(one.mask_id, 0)
            seen.ridden |= rider > 0
            seen.pixels += one.pixels + rider
            seen.whole += (one.pixels + rider) / max(1 - one.occlusion, 1e-3)
            seen.points += points_in(one.thing, points)

    def finish(
        self, keys: Collection[int], *, first: int, log: str, description: str
    ) -> tuple[list[str], int]:
        """Write all rows; return the names of the scenes, and the number of annotations.

        Args:
            keys: numbers of the key frames. first: number of the first scene.
            log: token of the drive's log. description: of its scenes.

        Frames that not all cameras have are left out.
        """
        clocks = [self._shots[channel] for channel in self._sizes]
        common = set(clocks[0]).intersection(*clocks[1:])
        stamps = {frame_id: clocks[0][frame_id].timestamp for frame_id in common}
        names, annotations = [], 0
        for number, scene in enumerate(scenes_of(stamps, keys)):
            names.append(f"scene-{first + number:04d}")
            samples = [moment for moment in scene if moment.key]
            token = token_of("scene", self._name, number)
            self._scene(token, samples, names[-1], log, description)
            for channel in self._shots:
                self._sensor_data(channel, samples if channel == LIDAR else scene)
            annotations += self._annotations(token, samples)
        return names, annotations

    def _scene(
        self, token: str, samples: Sequence[Moment], name: str, log: str, description: str
    ) -> None:
        tokens = [self._sample(moment.frame_id) for moment in samples]
        self._tables.add(
            "scene",
            token,
            log_token=log,
            nbr_samples=len(samples),
            first_sample_token=tokens[0],
            last_sample_token=tokens[-1],
            name=name,
            description=description,
        )
        for moment, chained in zip(samples, _chained(tokens), strict=True):
            self._tables.add("sample", **chained, timestamp=moment.microseconds, scene_token=token)

    def _sensor_data(self, channel: str, moments: Sequence[Moment]) -> None:
        """Write what one sensor gave in a scene, linked in time."""
        shots = self._shots[channel]
        moments = [moment for moment in moments if moment.frame_id in shots]
        width, height = self._sizes.get(channel, (0, 0))
        tokens = [token_of("sample_data", self._name, channel, one.frame_id) for one in moments]
        for moment, chained in zip(moments, _chained(tokens), strict=True):
            shot = shots[moment.frame_id]
            pose = token_of("ego_pose", chained["token"])
            self._tables.add(
                "ego_pose",
                pose,
                timestamp=moment.microseconds,
                rotation=list(to_quaternion(shot.ego)),
                translation=shot.ego[:3, 3].tolist(),
            )
            self._tables.add(
                "sample_data",
                **chained,
                sample_token=self._sample(moment.sample),
                ego_pose_token=pose,
                calibrated_sensor_token=shot.calibration,
                timestamp=moment.microseconds,
                fileformat="pcd" if channel == LIDAR else "jpg",
                is_key_frame=moment.key,
                height=height,
                width=width,
                filename=shot.file,
            )

    def _annotations(self, scene: str, samples: Sequence[Moment]) -> int:
        """Write the instances of a scene and their annotations; return how many of these."""
        found: dict[int, list[tuple[int, _Seen]]] = {}
        for moment in samples:
            for number, seen in self._seen.get(moment.frame_id, {}).items():
                found.setdefault(number, []).append((moment.frame_id, seen))
        for number, track in found.items():
            instance = token_of("instance", scene, number)
            tokens = [token_of("sample_annotation", instance, frame_id) for frame_id, _ in track]
            self._tables.add(
                "instance",
                instance,
                category_token=token_of("category", category(track[0][1].thing)),
                nbr_annotations=len(tokens),
                first_annotation_token=tokens[0],
                last_annotation_token=tokens[-1],
            )
            for (frame_id, seen), chained in zip(track, _chained(tokens), strict=True):
                thing = seen.thing
                length, width, height = thing.size.tolist()
                self._tables.add(
                    "sample_annotation",
                    **chained,
                    sample_token=self._sample(frame_id),
                    instance_token=instance,
                    visibility_token=visibility(seen.pixels / seen.whole),
                    attribute_tokens=[token_of("attribute", attribute(thing, ridden=seen.ridden))],
                    translation=thing.object_to_world[:3, 3].tolist(),
                    size=[width, length, height],
                    rotation=list(to_quaternion(thing.object_to_world)),
                    num_lidar_pts=seen.points,
                    num_radar_pts=0,
                )
        return sum(len(track) for track in found.values())

    def _calibration(self, channel: str, mount: Matrix, camera: Matrix | None) -> str:
        """Return the token of where a sensor sits; a new row for every other place or lens."""
        lens = [] if camera is None else camera.tolist()
        # what differs by rounding alone is the same place
        place = (mount.round(6) + 0.0).tolist()
        token = token_of("calibrated_sensor", self._name, channel, place, lens)
        if token not in self._calibrated:
            self._calibrated.add(token)
            self._tables.add(
                "calibrated_sensor",
                token,
                sensor_token=token_of("sensor", channel),
                translation=mount[:3, 3].tolist(),
                rotation=list(to_quaternion(mount)),
                camera_intrinsic=lens,
            )
        return token

    def _sample(self, frame_id: int) -> str:
        return token_of("sample", self._name, frame_id)


def _chained(tokens: Sequence[str]) -> list[dict[str, str]]:
    """Return the token, prev and next of rows that follow each other."""
    around = ["", *tokens, ""]
    return [
        {"token": token, "prev": around[place], "next": around[place + 2]}
        for place, token in enumerate(tokens)
    ]
