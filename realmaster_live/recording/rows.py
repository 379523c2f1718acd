"""Chunks as rows of the tables, and back."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realmaster_live.annotations import Annotation
from realmaster_live.frames.chunk import Chunk
from realmaster_live.frames.classes import class_name
from realmaster_live.frames.objects import SceneObject
from realmaster_live.frames.trust import FrameTrust, InstanceTrust
from realmaster_live.recording.about import About
from realmaster_live.recording.calibration import inverse_pose
from realmaster_live.recording.tables import SCHEMAS, pa


def frame_rows(chunk: Chunk, about: About, *, picture: int) -> Any:
    """Return one row a frame as a record batch; `picture` is the place of the first in its file.

    Every frame of the chunk has a source; `about` says how the recording was made.
    """
    count = len(chunk)
    dropped = np.zeros(count, np.int32)
    dropped[0] = chunk.dropped_before
    columns = {
        "camera": [chunk.camera] * count,
        "frame_id": chunk.frame_ids,
        "picture": np.arange(picture, picture + count),
        "timestamp": chunk.timestamps,
        "captured_at": chunk.captured_at,
        "age_s": time.monotonic() - chunk.captured_at,
        "chunk_index": [chunk.index] * count,
        "dropped_before": dropped,
        "cam_to_world": _lists(chunk.cam_to_world),
        "ego_to_world": _lists(chunk.ego_to_world) if chunk.ego_to_world is not None else None,
        "intrinsics": _lists(np.tile(chunk.intrinsics, (count, 1, 1))),
        "distortion": _lists(np.tile(chunk.distortion, (count, 1))),
        "seed": [chunk.seed] * count,
        "prompt": [chunk.prompt] * count,
        "prompt_weight": [chunk.prompt_weight] * count,
        "engine": [about.engine] * count,
        "engine_sha256": [about.engine_sha256] * count,
        "licence": [about.licence] * count,
        "policy": [about.policy] * count,
        "town": [one.town for one in chunk.sources],
        "weather": [one.weather_words for one in chunk.sources],
    }
    return _batch("frames", columns, count)


def object_rows(chunk: Chunk, annotations: Sequence[Sequence[Annotation]]) -> Any:
    """Return one row a frame and annotation; `annotations` has one entry a frame."""
    flat = [(row, one) for row, of_frame in enumerate(annotations) for one in of_frame]
    frames = np.array([row for row, _ in flat], np.int64)
    marks = [one for _, one in flat]
    things = [one.thing for one in marks]
    known = np.array([thing is not None for thing in things], bool)
    real = [thing for thing in things if thing is not None]
    poses = np.full((len(flat), 4, 4), np.nan)
    sizes, speeds = np.full((len(flat), 3), np.nan), np.full((len(flat), 3), np.nan)
    if real:
        poses[known] = [thing.object_to_world for thing in real]
        sizes[known] = [thing.size for thing in real]
        speeds[known] = [thing.velocity for thing in real]
    columns = {
        "camera": [chunk.camera] * len(flat),
        "frame_id": chunk.frame_ids[frames],
        "object_id": [None if thing is None else thing.object_id for thing in things],
        "class_id": [one.class_id for one in marks],
        "class": [class_name(one.class_id) for one in marks],
        "type_id": [None if thing is None else thing.type_id for thing in things],
        "size": _lists(sizes, known),
        "object_to_world": _lists(poses, known),
        "object_to_camera": _lists(inverse_pose(chunk.cam_to_world)[frames] @ poses, known),
        "velocity": _lists(speeds, known),
        "speed": pa.array(np.linalg.norm(speeds, axis=1), from_pandas=True),
        "light": [None if thing is None else thing.light for thing in things],
        "fixed": [None if thing is None else thing.fixed for thing in things],
        "mask_id": [one.mask_id for one in marks],
        "amodal": [one.amodal for one in marks],
        "visible": [one.visible for one in marks],
        "pixels": [one.pixels for one in marks],
        "occlusion": [one.occlusion for one in marks],
        "truncation": [one.truncation for one in marks],
        "distance_m": [one.distance_m for one in marks],
    }
    return _batch("objects", columns, len(flat))


def trust_rows(chunk: Chunk) -> Any:
    """Return one row a frame that was judged, and one for each of its things."""
    rows: list[dict[str, Any]] = []
    for number, judged in zip(chunk.frame_ids.tolist(), chunk.trust, strict=False):
        key = {"camera": chunk.camera, "frame_id": number}
        rows.append(
            {
                **key,
                "edges": judged.edges,
                "depth_order": judged.depth_order,
                "semantics": judged.semantics,
                "boxes": judged.boxes,
                "lights": judged.lights,
                "score": judged.score,
                "verdict": judged.verdict,
                "attempts": judged.attempts,
            }
        )
        rows += [
            {
                **key,
                "mask_id": one.mask_id,
                "pixels": one.pixels,
                "edges": one.edges,
                "semantics": one.semantics,
                "lights": one.light,
                "score": one.score,
            }
            for one in judged.instances
        ]
    return pa.RecordBatch.from_pylist(rows, SCHEMAS["trust"])


def read_annotations(table: Any) -> dict[int, tuple[Annotation, ...]]:
    """Return frame id -> annotations, from the rows of one camera in `objects`."""
    found: dict[int, list[Annotation]] = {}
    poses = arrays(table["object_to_world"], 4, 4)
    sizes, velocities = arrays(table["size"], 3), arrays(table["velocity"], 3)
    names = [name for name in table.column_names if name not in _AS_ARRAYS]
    plain = [table[name].to_pylist() for name in names]
    for row, values in enumerate(zip(*plain, strict=True)):
        cells = dict(zip(names, values, strict=True))
        thing = None
        if cells["object_id"] is not None:
            thing = SceneObject(
                object_id=cells["object_id"],
                class_id=cells["class_id"],
                type_id=cells["type_id"],
                size=sizes[row],
                object_to_world=poses[row],
                velocity=velocities[row],
                light=cells["light"],
                fixed=cells["fixed"],
                mask_id=cells["mask_id"],
            )
        annotation = Annotation(
            thing=thing,
            class_id=cells["class_id"],
            mask_id=cells["mask_id"],
            amodal=_box(cells["amodal"]),
            visible=_box(cells["visible"]),
            pixels=cells["pixels"],
            occlusion=cells["occlusion"],
            truncation=cells["truncation"],
            distance_m=cells["distance_m"],
        )
        found.setdefault(cells["frame_id"], []).append(annotation)
    return {number: tuple(marks) for number, marks in found.items()}


_AS_ARRAYS = {
    "camera",
    "class",
    "size",
    "object_to_world",
    "object_to_camera",
    "velocity",
    "speed",
}


def read_trust(table: Any) -> dict[int, FrameTrust]:
    """Return frame id -> trust, from the rows of one camera in `trust`."""
    frames: dict[int, dict[str, Any]] = {}
    things: dict[int, list[InstanceTrust]] = {}
    for row in table.to_pylist():
        number = row["frame_id"]
        if row["mask_id"] is None:
            frames[number] = row
            continue
        things.setdefault(number, []).append(
            InstanceTrust(
                mask_id=row["mask_id"],
                pixels=row["pixels"],
                edges=row["edges"],
                semantics=row["semantics"],
                light=row["lights"],
                score=row["score"],
            )
        )
    return {
        number: FrameTrust(
            edges=row["edges"],
            depth_order=row["depth_order"],
            semantics=row["semantics"],
            boxes=row["boxes"],
            lights=row["lights"],
            score=row["score"],
            verdict=row["verdict"],
            attempts=row["attempts"],
            instances=tuple(things.get(number, ())),
        )
        for number, row in frames.items()
    }


def arrays(column: Any, *shape: int) -> NDArray[np.float64]:
    """Return a column of fixed-size lists as (N, *shape); NaN where a row has none."""
    size = math.prod(shape)
    whole = column.combine_chunks()
    values = np.full((len(whole), size), np.nan)
    there = np.asarray(whole.is_valid())
    values[there] = np.asarray(whole.flatten()).reshape(-1, size)
    return values.reshape(-1, *shape)


def _batch(name: str, columns: dict[str, Any], count: int) -> Any:
    schema = SCHEMAS[name]
    made = []
    for field in schema:
        values = columns[field.name]
        if values is None:
            made.append(pa.nulls(count, field.type))
        elif isinstance(values, pa.Array):
            made.append(values)
        else:
            made.append(pa.array(values, field.type))
    return pa.record_batch(made, schema=schema)


def _lists(values: NDArray[np.float64], known: NDArray[np.bool_] | None = None) -> Any:
    """Return (N, ...) numbers as a column of fixed-size lists; none where not known."""
    flat = np.ascontiguousarray(values, np.float64)
    mask = None if known is None else pa.array(~known)
    size = math.prod(flat.shape[1:])
    return pa.FixedSizeListArray.from_arrays(pa.array(flat.ravel()), size, mask=mask)


def _box(values: list[float] | None) -> tuple[float, float, float, float] | None:
    return None if values is None else (values[0], values[1], values[2], values[3])
