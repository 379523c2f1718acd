"""Converts a frame into Foxglove's messages.

Frames of reference: "map" is our world, "ego" is the vehicle, and each camera has a frame of its
own with x to the right, y down and z forward, which is Foxglove's convention too.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import cache, lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realmaster_live.annotations import Annotation
from realmaster_live.frames.chunk import Frame
from realmaster_live.frames.classes import PALETTE, class_name
from realmaster_live.frames.objects import SceneObject
from realmaster_live.frames.quaternion import to_quaternion
from realmaster_live.frames.trust import FrameTrust, trust_facts
from realmaster_live.optional import require

WORLD, EGO = "map", "ego"
NANOSECONDS = 1_000_000_000
SHOWN_S = 0.25  # how long an object is shown without a newer message
MILLIMETRES = 1000.0
MOST_KINDS = 1024  # of things, whose messages are kept
TRUST_SCHEMA = {
    "type": "object",
    "title": "realmaster.FrameTrust",
    "properties": {
        "frame_id": {"type": "integer"},
        **{
            name: {"type": ["number", "null"]}
            for name in ("score", "edges", "depth_order", "semantics", "boxes", "lights")
        },
        "verdict": {"type": "string"},
        "attempts": {"type": "integer"},
    },
}

CONDITIONS_SCHEMA = {
    "type": "object",
    "title": "realmaster.Conditions",
    "properties": {name: {"type": "string"} for name in ("town", "route", "weather")},
}


@cache  # it is asked for with every value
def messages() -> Any:
    """Return Foxglove's message classes."""
    return require("foxglove.messages", extra="export")


def nanoseconds(frame: Frame) -> int:
    """Return a frame's simulation time in nanoseconds."""
    return round(frame.timestamp * NANOSECONDS)


def stamp(frame: Frame) -> Any:
    """Return a frame's simulation time as a Timestamp."""
    seconds, rest = divmod(nanoseconds(frame), NANOSECONDS)
    return messages().Timestamp(sec=seconds, nsec=rest)


def calibration(frame: Frame, size: tuple[int, int]) -> Any:
    """Return a CameraCalibration; `size` is (width, height)."""
    lens = np.zeros((3, 4))
    lens[:, :3] = frame.intrinsics
    return messages().CameraCalibration(
        timestamp=stamp(frame),
        frame_id=frame.camera,
        width=size[0],
        height=size[1],
        distortion_model="plumb_bob",
        D=frame.distortion.tolist(),
        K=frame.intrinsics.ravel().tolist(),
        R=np.eye(3).ravel().tolist(),
        P=lens.ravel().tolist(),
    )


def transforms(frame: Frame) -> Any:
    """Return FrameTransforms from map to ego to camera, or from map to camera without a vehicle."""
    if frame.ego_to_world is None:
        chain = [(WORLD, frame.camera, frame.cam_to_world)]
    else:
        mount = np.linalg.inv(frame.ego_to_world) @ frame.cam_to_world
        chain = [(WORLD, EGO, frame.ego_to_world), (EGO, frame.camera, mount)]
    return messages().FrameTransforms(transforms=[transform(frame, *link) for link in chain])


def transform(frame: Frame, parent: str, child: str, matrix: NDArray[np.float64]) -> Any:
    """Return a FrameTransform; `matrix` (4, 4) takes points of the child's axes to the parent's."""
    return messages().FrameTransform(
        timestamp=stamp(frame),
        parent_frame_id=parent,
        child_frame_id=child,
        translation=_vector(matrix[:3, 3]),
        rotation=_rotation(matrix),
    )


def scene(frame: Frame) -> Any:
    """Return a SceneUpdate with the box of every thing in view."""
    time = stamp(frame)
    return messages().SceneUpdate(entities=[_entity(each, time) for each in frame.objects])


def boxes(frame: Frame, annotations: Sequence[Annotation], size: tuple[int, int]) -> Any:
    """Return ImageAnnotations: boxes of the visible pixels; `size` is (width, height)."""
    schemas = messages()
    visible = [annotation for annotation in annotations if annotation.visible is not None]
    return schemas.ImageAnnotations(
        timestamp=stamp(frame),
        points=[
            schemas.PointsAnnotation(
                timestamp=stamp(frame),
                type=schemas.PointsAnnotationType.LineLoop,
                points=[schemas.Point2(x=x, y=y) for x, y in _corners(annotation)],
                outline_color=_colour(annotation.class_id),
                thickness=max(1.0, size[0] / 640),
                metadata=_pairs(
                    {
                        "class": class_name(annotation.class_id),
                        "mask_id": annotation.mask_id,
                        "object_id": "" if annotation.thing is None else annotation.thing.object_id,
                        "pixels": annotation.pixels,
                        "occlusion": round(annotation.occlusion, 3),
                        "truncation": round(annotation.truncation, 3),
                        "distance_m": round(annotation.distance_m, 2),
                    }
                ),
            )
            for annotation in visible
        ],
    )


def video(frame: Frame, packet: bytes) -> Any:
    """Return a CompressedVideo of one H.264 picture in Annex B."""
    return messages().CompressedVideo(
        timestamp=stamp(frame), frame_id=frame.camera, data=packet, format="h264"
    )


def still(frame: Frame, data: bytes) -> Any:
    """Return a CompressedImage of a JPEG file."""
    return messages().CompressedImage(
        timestamp=stamp(frame), frame_id=frame.camera, data=data, format="jpeg"
    )


def depth_image(frame: Frame) -> Any:
    """Return the depth as a RawImage (16UC1) in millimetres, at most 65535."""
    depth = frame.labels["depth"].astype(np.float64)
    codes = np.minimum(depth * MILLIMETRES + 0.5, 65535).astype("<u2")
    height, width = codes.shape
    return messages().RawImage(
        timestamp=stamp(frame),
        frame_id=frame.camera,
        width=width,
        height=height,
        encoding="16UC1",
        step=2 * width,
        data=codes.tobytes(),
    )


def trust_of(frame: Frame, trust: FrameTrust) -> dict[str, Any]:
    """Return a frame's trust in TRUST_SCHEMA."""
    return {"frame_id": frame.frame_id, **trust_facts(trust)}


def _entity(thing: SceneObject, time: Any) -> Any:
    schemas = messages()
    length, width, height = thing.size.tolist()
    pose = schemas.Pose(
        position=_vector(thing.object_to_world[:3, 3]),
        orientation=_rotation(thing.object_to_world),
    )
    speed = round(math.hypot(*thing.velocity.tolist()), 3)
    return schemas.SceneEntity(
        timestamp=time,
        frame_id=WORLD,
        id=str(thing.object_id),
        lifetime=_lifetime(),
        metadata=[
            *_kind(thing.class_id, thing.type_id),
            schemas.KeyValuePair(key="speed_m_s", value=str(speed)),
            *_state(thing.light, thing.fixed),
        ],
        cubes=[
            schemas.CubePrimitive(
                pose=pose,
                size=schemas.Vector3(x=length, y=width, z=height),
                color=_colour(thing.class_id, alpha=0.5),
            )
        ],
    )


@cache
def _lifetime() -> Any:
    return messages().Duration(sec=0, nsec=int(SHOWN_S * NANOSECONDS))


@lru_cache(maxsize=MOST_KINDS)
def _kind(class_id: int, type_id: str) -> list[Any]:
    return _pairs({"class": class_name(class_id), "type_id": type_id})


@cache
def _state(light: str, fixed: bool) -> list[Any]:
    return _pairs({"light": light, "fixed": str(fixed).lower()})


def _corners(annotation: Annotation) -> list[tuple[float, float]]:
    assert annotation.visible is not None
    left, top, right, bottom = annotation.visible
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


def _pairs(values: dict[str, object]) -> list[Any]:
    schemas = messages()
    return [schemas.KeyValuePair(key=key, value=str(value)) for key, value in values.items()]


def _vector(xyz: Iterable[float]) -> Any:
    x, y, z = map(float, xyz)
    return messages().Vector3(x=x, y=y, z=z)


def _rotation(matrix: NDArray[np.float64]) -> Any:
    w, x, y, z = to_quaternion(matrix)
    return messages().Quaternion(x=x, y=y, z=z, w=w)


@cache
def _colour(class_id: int, alpha: float = 1.0) -> Any:
    known = class_id if class_id < len(PALETTE) else 0  # unlabelled
    red, green, blue = (PALETTE[known] / 255).tolist()
    return messages().Color(r=red, g=green, b=blue, a=alpha)
