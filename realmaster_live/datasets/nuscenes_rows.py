"""One scene as rows of nuScenes' tables: collected as it is read, linked once it has ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from realmaster_live.annotations import Annotation
from realmaster_live.datasets.ego import cam_to_ego, ego_to_world
from realmaster_live.datasets.nuscenes_points import SCANNER_TO_EGO, points_in
from realmaster_live.datasets.nuscenes_tables import Rows, token_of
from realmaster_live.datasets.nuscenes_words import attribute, visibility
from realmaster_live.datasets.quaternion import to_quaternion
from realmaster_live.frames.objects import SceneObject
from realmaster_live.recording.sample import Sample

Matrix = NDArray[np.float64]

LIDAR = "LIDAR_TOP"
KEY_PERIOD_S = 0.5
CLOCK_SLACK_S = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class _Moment:
    """One frame number; the first of each half second is a sample, the others are sweeps."""

    frame_id: int
    timestamp: float  # simulated seconds
    key: bool

    @property
    def microseconds(self) -> int:
        return round(self.timestamp * 1e6)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Shot:
    """What one sensor gave at one moment."""

    ego: Matrix
    calibration: str
    file: str


@dataclass(slots=True)
class _Seen:
    """One thing at one key frame, over all cameras."""

    thing: SceneObject
    category: str
    pixels: int = 0
    whole: float = 0.0  # pixels it would have if nothing hid it
    points: int = 0
    ridden: bool = False


class SceneRows:
    """Collects one scene, an uninterrupted stretch of a drive, and writes its rows.

    Args:
        rows: where to. name: of the scene.
        sizes: channel -> (width, height) of its pictures; (0, 0) for LIDAR_TOP.
    """

    def __init__(self, rows: Rows, name: str, sizes: Mapping[str, tuple[int, int]]) -> None:
        self._rows = rows
        self._name = name
        self._sizes = sizes
        self._moments: list[_Moment] = []
        self._shots: dict[str, list[tuple[_Moment, _Shot]]] = {channel: [] for channel in sizes}
        self._seen: dict[int, dict[int, _Seen]] = {}

    def ends_before(self, timestamp: float) -> bool:
        """Whether so much is missing up to `timestamp` that another scene begins there."""
        return timestamp - self._moments[-1].timestamp > KEY_PERIOD_S + CLOCK_SLACK_S

    def begin(self, frame_id: int, timestamp: float) -> bool:
        """Begin a moment; return whether it is a sample, a key frame, or a sweep between them."""
        last = next((one.timestamp for one in reversed(self._moments) if one.key), None)
        key = last is None or timestamp - last >= KEY_PERIOD_S - CLOCK_SLACK_S
        self._moments.append(_Moment(frame_id=frame_id, timestamp=timestamp, key=key))
        return key

    def add_picture(self, sample: Sample, *, channel: str, file: str) -> None:
        """Note a picture of the moment, which lies in `file`."""
        mount = cam_to_ego(sample)
        self._add(sample, channel, file, self._calibration(channel, mount, sample.frame.intrinsics))

    def add_scan(self, sample: Sample, *, file: str) -> None:
        """Note the points of the moment, which lie in `file`; `sample` is its first camera's."""
        self._add(sample, LIDAR, file, self._calibration(LIDAR, SCANNER_TO_EGO, None))

    def _add(self, sample: Sample, channel: str, file: str, calibration: str) -> None:
        shot = _Shot(ego=ego_to_world(sample), calibration=calibration, file=file)
        self._shots[channel].append((self._moments[-1], shot))

    def see(
        self,
        one: Annotation,
        category: str,
        points: NDArray[np.float64],
        *,
        rider_pixels: int = 0,
    ) -> None:
        """Note that a camera shows a thing at the moment, a key frame.

        Args:
            one: the annotation, of a thing.
            category: nuScenes' name of its kind.
            points: (N, 3) metres, in the world, that were hit from this camera.
            rider_pixels: of whoever sits on it, who belongs to its box.
        """
        assert one.thing is not None
        here = self._seen.setdefault(self._moments[-1].frame_id, {})
        seen = here.setdefault(one.thing.object_id, _Seen(one.thing, category))
        seen.ridden |= rider_pixels > 0
        seen.pixels += one.pixels + rider_pixels
        seen.whole += (one.pixels + rider_pixels) / max(1 - one.occlusion, 1e-3)
        seen.points += points_in(one.thing, points)

    def finish(self, *, log: str, description: str) -> Counter[str]:
        """Write all rows; return category -> annotations. `log`: token of the drive's."""
        samples = [moment for moment in self._moments if moment.key]
        scene = token_of("scene", self._name)
        self._scene(scene, samples, log, description)
        for channel in self._shots:
            self._sensor_data(channel)
        return self._annotations(scene, samples)

    def _scene(self, scene: str, samples: Sequence[_Moment], log: str, description: str) -> None:
        tokens = [self._sample(moment) for moment in samples]
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
        for moment, chained in zip(samples, _chained(tokens), strict=True):
            self._rows.add("sample", **chained, timestamp=moment.microseconds, scene_token=scene)

    def _sensor_data(self, channel: str) -> None:
        """Write what one sensor gave, linked in time."""
        shots = self._shots[channel]
        width, height = self._sizes[channel]
        # a sweep belongs to the sample that follows; behind the last one, to that
        following = {moment.frame_id: sample for sample, moment in _with_sample(self._moments)}
        tokens = [
            token_of("sample_data", self._name, channel, moment.frame_id) for moment, _ in shots
        ]
        for (moment, shot), chained in zip(shots, _chained(tokens), strict=True):
            pose = token_of("ego_pose", chained["token"])
            self._rows.add(
                "ego_pose",
                pose,
                timestamp=moment.microseconds,
                rotation=list(to_quaternion(shot.ego)),
                translation=shot.ego[:3, 3].tolist(),
            )
            self._rows.add(
                "sample_data",
                **chained,
                sample_token=self._sample(following[moment.frame_id]),
                ego_pose_token=pose,
                calibrated_sensor_token=shot.calibration,
                timestamp=moment.microseconds,
                fileformat="pcd" if channel == LIDAR else "jpg",
                is_key_frame=moment.key,
                height=height,
                width=width,
                filename=shot.file,
            )

    def _annotations(self, scene: str, samples: Sequence[_Moment]) -> Counter[str]:
        """Write the instances and their annotations; return category -> how many of these."""
        counts: Counter[str] = Counter()
        found: dict[int, list[tuple[_Moment, _Seen]]] = {}
        for moment in samples:
            for number, seen in self._seen.get(moment.frame_id, {}).items():
                found.setdefault(number, []).append((moment, seen))
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
            for (moment, seen), chained in zip(track, _chained(tokens), strict=True):
                thing = seen.thing
                length, width, height = thing.size.tolist()
                self._rows.add(
                    "sample_annotation",
                    **chained,
                    sample_token=self._sample(moment),
                    instance_token=instance,
                    visibility_token=visibility(seen.pixels / seen.whole),
                    attribute_tokens=[token_of("attribute", attribute(thing, ridden=seen.ridden))],
                    translation=thing.object_to_world[:3, 3].tolist(),
                    size=[width, length, height],
                    rotation=list(to_quaternion(thing.object_to_world)),
                    num_lidar_pts=seen.points,
                    num_radar_pts=0,
                )
        return counts

    def _calibration(self, channel: str, mount: Matrix, camera: Matrix | None) -> str:
        """Return the token of where a sensor sits; a new row for every other place or lens."""
        lens = [] if camera is None else camera.tolist()
        # what differs by rounding alone is the same place
        place = (mount.round(6) + 0.0).tolist()
        return self._rows.add(
            "calibrated_sensor",
            token_of("calibrated_sensor", self._name, channel, place, lens),
            sensor_token=token_of("sensor", channel),
            translation=mount[:3, 3].tolist(),
            rotation=list(to_quaternion(mount)),
            camera_intrinsic=lens,
        )

    def _sample(self, moment: _Moment) -> str:
        return token_of("sample", self._name, moment.frame_id)


def _with_sample(moments: Sequence[_Moment]) -> Iterator[tuple[_Moment, _Moment]]:
    """Yield (sample, moment) for each moment."""
    samples = iter([moment for moment in moments if moment.key])
    sample = next(samples)
    for moment in moments:
        if moment.frame_id > sample.frame_id:
            sample = next(samples, sample)
        yield sample, moment


def _chained(tokens: Sequence[str]) -> list[dict[str, str]]:
    """Return the token, prev and next of rows that follow each other."""
    around = ["", *tokens, ""]
    return [
        {"token": token, "prev": around[place], "next": around[place + 2]}
        for place, token in enumerate(tokens)
    ]
