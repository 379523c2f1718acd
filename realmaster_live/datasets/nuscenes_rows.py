"""Rows of nuScenes' tables for one scene, collected tick by tick and linked at its end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from realmaster_live.annotations import Annotation
from realmaster_live.annotations.masks import RIDER
from realmaster_live.datasets.nuscenes_tables import Rows, token_of
from realmaster_live.datasets.nuscenes_taxonomy import attribute, visibility
from realmaster_live.frames.objects import SceneObject
from realmaster_live.frames.quaternion import to_quaternion
from realmaster_live.recording.sample import Sample

Matrix = NDArray[np.float64]

LIDAR = "LIDAR_TOP"
KEY_PERIOD_US = 500_000
CLOCK_SLACK_US = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class _Time:
    """One tick; the first of each half second is a sample (`key`), the others are sweeps."""

    frame_id: int
    microseconds: int
    key: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reading:
    """The data of one sensor at one tick."""

    ego: Matrix
    calibration: str
    file: str


@dataclass(slots=True)
class _Visible:
    """One object at one key frame, summed over all cameras."""

    thing: SceneObject
    category: str
    pixels: int = 0
    unoccluded: float = 0.0  # pixels that it would have without occlusion
    labels: set[int] = field(default_factory=set)  # instance labels of its pixels
    points: int = 0
    ridden: bool = False


class SceneRows:
    """Collects one scene, an uninterrupted part of a drive, and writes its rows.

    Args:
        rows: the tables to write to. name: name of the scene. drive: name of the recording.
        sizes: channel -> (width, height) of its pictures; (0, 0) for LIDAR_TOP.
    """

    def __init__(
        self, rows: Rows, name: str, drive: str, sizes: Mapping[str, tuple[int, int]]
    ) -> None:
        self._rows = rows
        self._name = name
        self._drive = drive
        self._sizes = sizes
        self._times: list[_Time] = []
        self._readings: dict[str, list[tuple[_Time, _Reading]]] = {channel: [] for channel in sizes}
        self._visible: dict[int, dict[int, _Visible]] = {}

    @property
    def name(self) -> str:
        """The scene's name."""
        return self._name

    def ends_before(self, microseconds: int) -> bool:
        """Return whether the gap up to a time is so long that another scene begins there."""
        return microseconds - self._times[-1].microseconds > KEY_PERIOD_US + CLOCK_SLACK_US

    def begin(self, frame_id: int, microseconds: int, *, may_be_key: bool = True) -> bool:
        """Begin a tick; return whether it is a sample (a key frame) rather than a sweep.

        One that may not be, for its lidar is missing, leaves it to the next.
        """
        last = next((one.microseconds for one in reversed(self._times) if one.key), None)
        key = last is None or microseconds - last >= KEY_PERIOD_US - CLOCK_SLACK_US
        key = key and may_be_key
        self._times.append(_Time(frame_id=frame_id, microseconds=microseconds, key=key))
        return key

    def add_picture(
        self, sample: Sample, *, channel: str, mount: Matrix, ego: Matrix, file: str
    ) -> None:
        """Add a picture of the tick, which is stored in `file`.

        `mount` (4, 4) is the camera in its vehicle, `ego` (4, 4) the vehicle in the world.
        """
        calibration = self._calibration(channel, mount, sample.frame.intrinsics)
        self._add(channel, _Reading(ego=ego, calibration=calibration, file=file))

    def add_scan(
        self,
        count: Callable[[SceneObject, Collection[int]], int],
        *,
        mount: Matrix,
        ego: Matrix,
        file: str,
    ) -> None:
        """Add the points of a tick, stored in `file`; of a key frame after `add_visible`.

        `count` returns how many of them are on an object, whose instance labels it gets too.
        """
        calibration = self._calibration(LIDAR, mount, None)
        self._add(LIDAR, _Reading(ego=ego, calibration=calibration, file=file))
        for one in self._visible.get(len(self._times) - 1, {}).values():
            one.points = count(one.thing, one.labels)

    def _add(self, channel: str, reading: _Reading) -> None:
        self._readings[channel].append((self._times[-1], reading))

    def add_visible(self, one: Annotation, category: str, *, rider_pixels: int = 0) -> None:
        """Add an object that a camera shows at a key frame.

        Args:
            one: the object's annotation.
            category: nuScenes' category.
            rider_pixels: pixels of a rider on the object, who belongs to its box.
        """
        assert one.thing is not None
        visible_now = self._visible.setdefault(len(self._times) - 1, {})
        visible = visible_now.setdefault(one.thing.object_id, _Visible(one.thing, category))
        visible.labels.add(one.class_id << 16 | one.mask_id)
        if rider_pixels:
            visible.labels.add(RIDER << 16 | one.mask_id)
            visible.ridden = True
        visible.pixels += one.pixels + rider_pixels
        visible.unoccluded += (one.pixels + rider_pixels) / max(1 - one.occlusion, 1e-3)

    def finish(self, *, log: str, description: str) -> Counter[str]:
        """Write all rows; return category -> number of annotations. `log` is the log's token."""
        samples = [time for time in self._times if time.key]
        scene = token_of("scene", self._name)
        self._scene(scene, samples, log, description)
        for channel in self._readings:
            self._sensor_data(channel)
        return self._annotations(scene)

    def _scene(self, scene: str, samples: Sequence[_Time], log: str, description: str) -> None:
        tokens = [self._sample(time) for time in samples]
        self._rows.add(
            "scene",
            scene,
            log_token=log,
            nbr_samples=len(samples),
            first_sample_token=tokens[0],
            last_sample_token=tokens[-1],
            name=self._name,
            description=description,
        )
        for time, chained in zip(samples, _chained(tokens), strict=True):
            self._rows.add("sample", **chained, timestamp=time.microseconds, scene_token=scene)

    def _sensor_data(self, channel: str) -> None:
        """Write the rows of one sensor's data, linked in time."""
        readings = self._readings[channel]
        width, height = self._sizes[channel]
        # a sweep belongs to the next sample, or to the last one if none follows
        following = {time.frame_id: sample for sample, time in _with_sample(self._times)}
        tokens = [
            token_of("sample_data", self._name, channel, time.frame_id) for time, _ in readings
        ]
        for (time, reading), chained in zip(readings, _chained(tokens), strict=True):
            pose = token_of("ego_pose", chained["token"])
            self._rows.add(
                "ego_pose",
                pose,
                timestamp=time.microseconds,
                rotation=list(to_quaternion(reading.ego)),
                translation=reading.ego[:3, 3].tolist(),
            )
            self._rows.add(
                "sample_data",
                **chained,
                sample_token=self._sample(following[time.frame_id]),
                ego_pose_token=pose,
                calibrated_sensor_token=reading.calibration,
                timestamp=time.microseconds,
                fileformat="pcd" if channel == LIDAR else "jpg",
                is_key_frame=time.key,
                height=height,
                width=width,
                filename=reading.file,
            )

    def _annotations(self, scene: str) -> Counter[str]:
        """Write the instances and their annotations; return category -> number of annotations."""
        counts: Counter[str] = Counter()
        found: dict[int, list[tuple[_Time, _Visible]]] = {}
        for place, things in self._visible.items():
            for number, visible in things.items():
                found.setdefault(number, []).append((self._times[place], visible))
        for number, track in found.items():
            instance = token_of("instance", scene, number)
            counts[track[0][1].category] += len(track)
            tokens = [token_of("sample_annotation", instance, one.frame_id) for one, _ in track]
            self._rows.add(
                "instance",
                instance,
                category_token=token_of("category", track[0][1].category),
                nbr_annotations=len(tokens),
                first_annotation_token=tokens[0],
                last_annotation_token=tokens[-1],
            )
            for (time, visible), chained in zip(track, _chained(tokens), strict=True):
                thing = visible.thing
                attribute_name = attribute(thing, ridden=visible.ridden)
                length, width, height = thing.size.tolist()
                self._rows.add(
                    "sample_annotation",
                    **chained,
                    sample_token=self._sample(time),
                    instance_token=instance,
                    visibility_token=visibility(visible.pixels / visible.unoccluded),
                    attribute_tokens=[token_of("attribute", attribute_name)],
                    translation=thing.object_to_world[:3, 3].tolist(),
                    size=[width, length, height],
                    rotation=list(to_quaternion(thing.object_to_world)),
                    num_lidar_pts=visible.points,
                    num_radar_pts=0,
                )
        return counts

    def _calibration(self, channel: str, mount: Matrix, camera: Matrix | None) -> str:
        """Return the token of a sensor's mount and intrinsics."""
        optics = [] if camera is None else camera.tolist()
        # rounding makes mounts equal that differ by floating-point errors alone
        place = (mount.round(6) + 0.0).tolist()
        return self._rows.add(
            "calibrated_sensor",
            token_of("calibrated_sensor", self._drive, channel, place, optics),
            sensor_token=token_of("sensor", channel),
            translation=mount[:3, 3].tolist(),
            rotation=list(to_quaternion(mount)),
            camera_intrinsic=optics,
        )

    def _sample(self, time: _Time) -> str:
        return token_of("sample", self._name, time.frame_id)


def _with_sample(times: Sequence[_Time]) -> Iterator[tuple[_Time, _Time]]:
    """Yield (sample, tick) for each tick."""
    samples = iter([time for time in times if time.key])
    sample = next(samples)
    for time in times:
        if time.frame_id > sample.frame_id:
            sample = next(samples, sample)
        yield sample, time


def _chained(tokens: Sequence[str]) -> list[dict[str, str]]:
    """Return the token, prev and next of consecutive rows."""
    padded = ["", *tokens, ""]
    return [
        {"token": token, "prev": padded[place], "next": padded[place + 2]}
        for place, token in enumerate(tokens)
    ]
