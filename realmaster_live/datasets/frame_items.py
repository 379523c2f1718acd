"""Reads the items of a query as NumPy arrays, in any order."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realmaster_live.annotations import Annotation
from realmaster_live.datasets.frame_index import FrameIndex, Track, index_frames
from realmaster_live.datasets.frame_query import FrameQuery
from realmaster_live.datasets.rules import judge, trust_by_mask
from realmaster_live.frames.trust import FrameTrust
from realmaster_live.recording.camera_rows import CameraRows
from realmaster_live.recording.packing import PACKINGS
from realmaster_live.recording.random_access import RandomAccess

Item = dict[str, Any]
UNLISTED = -1  # object id of a mask that the simulator lists no object for
PER_ITEM = ("recording", "camera", "town", "weather")  # the same in all frames of a window


class FrameItems:
    """The items of a query; may be forked, pickled and used in threads.

    Args:
        query: which frames, and what of them.

    Attributes:
        index: where the items are.

    Raises:
        RecordingError: a recording cannot be read.
        ConfigError: the recordings do not have what is asked for.
    """

    def __init__(self, query: FrameQuery) -> None:
        self.query = query
        self.drives = query.drives()
        self.index: FrameIndex = index_frames(self.drives, query)
        self._access = RandomAccess()

    def __len__(self) -> int:
        """Return the number of items."""
        return len(self.index.starts)

    def frames(self, number: int) -> list[Item]:
        """Return the frames of an item in order.

        Each has "image", (H, W, 3) uint8 sRGB, or "sim" and "real" where both are asked for; the
        labels by name; and the facts that `docs/datasets.md` lists.
        """
        first = int(self.index.starts[number])
        return [self._frame(first + offset) for offset in range(self.query.window)]

    def _frame(self, place: int) -> Item:
        track = self.index.tracks[self.index.track[place]]
        row = int(self.index.row[place])
        rows = self._access.rows(track.segment, track.camera)
        picture = int(rows.pictures[row])
        item: Item = {}
        for name in self.query.streams:
            image = self._access.picture(track.segment, track.camera, name, picture)
            alone = name not in PACKINGS and self.query.pictures != "paired"
            item["image" if alone else name] = image
        facts = _facts(track, rows, row)
        if "boxes_2d" in self.query.labels or "boxes_3d" in self.query.labels:
            number = facts["frame_id"]
            annotations = rows.annotations.get(number, ())
            item |= self._boxes(annotations, rows.trust.get(number), facts["cam_to_world"])
        return item | facts

    def _boxes(
        self,
        annotations: Sequence[Annotation],
        trust: FrameTrust | None,
        cam_to_world: NDArray[np.float64],
    ) -> Item:
        """Return the boxes that the rules keep or mark as ignored."""
        query, scores = self.query, trust_by_mask(trust)
        kept: list[tuple[Annotation, int, bool]] = []
        for one in annotations:
            category = query.categories.of(one.class_id)
            fate = judge(one, scores, query.rules).fate
            if category and fate != "drop":
                kept.append((one, query.categories.ids[category], fate == "ignore"))
        found: Item = {}
        if "boxes_2d" in query.labels:
            found["boxes_2d"] = {
                "boxes": _array([one.visible for one, *_ in kept], np.float32, 4),
                **_shared(kept),
                "occlusion": _array([one.occlusion for one, *_ in kept], np.float32),
                "truncation": _array([one.truncation for one, *_ in kept], np.float32),
                "distance_m": _array([one.distance_m for one, *_ in kept], np.float32),
            }
        if "boxes_3d" in query.labels:
            listed = [one for one in kept if one[0].thing is not None]
            things = [one.thing for one, *_ in listed if one.thing is not None]
            poses = _array([thing.object_to_world for thing in things], np.float64, 4, 4)
            found["boxes_3d"] = {
                "size": _array([thing.size for thing in things], np.float32, 3),
                "object_to_camera": (np.linalg.inv(cam_to_world) @ poses).astype(np.float32),
                "velocity": _array([thing.velocity for thing in things], np.float32, 3),
                **_shared(listed),
            }
        return found


def _shared(kept: Sequence[tuple[Annotation, int, bool]]) -> Item:
    ids = [UNLISTED if one.thing is None else one.thing.object_id for one, *_ in kept]
    return {
        "labels": _array([category for _, category, _ in kept], np.int64),
        "ignored": _array([ignored for *_, ignored in kept], np.bool_),
        "object_ids": _array(ids, np.int64),
        "mask_ids": _array([one.mask_id for one, *_ in kept], np.int64),
    }


def _facts(track: Track, rows: CameraRows, row: int) -> Item:
    source = rows.sources[row]
    return {
        "recording": track.drive.name,
        "camera": track.camera,
        "town": source.town,
        "weather": source.weather_words,
        "frame_id": rows.plain["frame_id"][row],
        "timestamp": rows.plain["timestamp"][row],
        "intrinsics": rows.intrinsics[row],
        "cam_to_world": rows.cam_to_world[row],
        "ego_to_world": rows.ego_to_world[row],
    }


def _array(values: Sequence[Any], dtype: Any, *shape: int) -> NDArray[Any]:
    """Return (N, *shape), also of no values."""
    return np.array(values, dtype).reshape(len(values), *shape)
