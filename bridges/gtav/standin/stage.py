"""The world behind the stand-in: the embedded town, or recorded frames.

A stage takes a client's messages and yields one scene after the other, in our axes and units;
`game_fields` converts a scene into the game's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from realmaster_live.bridges.gtav.camera import (
    NEAR_M,
    depth_buffer,
    position_and_rotation,
    stencil_from_semantic,
)
from realmaster_live.bridges.gtav.protocol.framing import DEPTH, STENCIL, buffer_field
from realmaster_live.bridges.gtav.protocol.messages import DatasetOptions, Message
from realmaster_live.frames.chunk import Frame
from realmaster_live.frames.geometry import Matrix
from realmaster_live.optional import require

Size = tuple[int, int]  # width, height

# option of the fork that has annotations -> the key it answers with
FORK_KEYS: Mapping[str, str] = {
    "exportBBox2DUnprocessed": "bbox2dUnprocessed",
    "occlusionImage": "occlusionImage",
    "unusedStencilIPixelmage": "unusedStencilIPixelmage",
    "segmentationImage": "segmentationImage",
    "instanceSegmentationImage": "instanceSegmentationImage",
    "instanceSegmentationImageColor": "instanceSegmentationImageColor",
    "exportLiDAR": "LiDAR",
    "exportLiDARRaycast": "LiDARRaycast",
    "export2DPointmap": "2DPointmap",
    "exportSome2DPointmapText": "Some2DPointmapText",
    "exportLiDARDepthStats": "LiDARDepthStats",
    "exportStencilImage": "StencilImage",
    "exportIndividualStencilImages": "IndividualStencilImage",
}
TEXTS = frozenset({"bbox2d", DEPTH, STENCIL, *FORK_KEYS.values()})


@dataclass(frozen=True, kw_only=True)
class Scene:
    """One tick of the stage's world.

    Attributes:
        image: (H, W, 3) uint8 sRGB. cam_to_world: (4, 4) metres, our axes.
        focal_px: of the picture's rows. depth: (H, W) float32 metres. semantic: (H, W) uint8.
        reported: what DeepGTAV may report besides: `speed`, `location` and so on, by its keys.
    """

    image: NDArray[np.uint8]
    cam_to_world: Matrix
    focal_px: float
    depth: NDArray[np.float32] | None = None
    semantic: NDArray[np.uint8] | None = None
    reported: Mapping[str, Any] = field(default_factory=dict)


class GameStage(Protocol):
    """A world whose pictures the stand-in sends."""

    def apply(self, message: Message) -> None:
        """Act on a client's message, as far as this world can."""

    def step(self, size: Size, dt_s: float) -> Scene | None:
        """Return the next scene, `dt_s` later, in a picture of `size`; None at the end."""

    def close(self) -> None:
        """Release what it reads from."""


class RecordedStage:
    """Plays the frames of one camera as they were recorded; no message changes them.

    `on_close` releases what they are read from.
    """

    def __init__(
        self, frames: Iterator[Frame], *, on_close: Callable[[], None] = lambda: None
    ) -> None:
        self._pairs, self._on_close = pairwise(_of_one_camera(frames)), on_close

    def apply(self, message: Message) -> None:
        """Do nothing."""

    def step(self, size: Size, dt_s: float) -> Scene | None:
        """Return the next frame in another size."""
        pair = next(self._pairs, None)
        if pair is None:
            return None
        before, frame = pair
        moved = frame.cam_to_world[:3, 3] - before.cam_to_world[:3, 3]
        elapsed_s = frame.timestamp - before.timestamp
        speed = float(np.linalg.norm(moved)) / elapsed_s if elapsed_s > 0 else 0.0
        depth, semantic = frame.labels.get("depth"), frame.labels.get("semantic")
        return Scene(
            image=_resized(frame.image, size),
            cam_to_world=frame.cam_to_world,
            focal_px=float(frame.intrinsics[1, 1]) * size[1] / frame.image.shape[0],
            depth=None if depth is None else sampled(np.asarray(depth, np.float32), size),
            semantic=None if semantic is None else sampled(np.asarray(semantic, np.uint8), size),
            reported={"speed": speed, "location": frame.cam_to_world[:3, 3].tolist()},
        )

    def close(self) -> None:
        """Release what the frames are read from."""
        self._on_close()


def game_fields(scene: Scene, options: DatasetOptions, index: int) -> dict[str, Any]:
    """Return a scene's JSON object: the fork's own fields, and every key that was requested."""
    position, rotation = position_and_rotation(scene.cam_to_world)
    height, width = scene.image.shape[:2]
    size = options.frame or (width, height)
    # the forks send texts where they have an annotation, [] only before they record
    fields = {key: "" if key in TEXTS else value for key, value in empty_fields(options).items()}
    fields |= {
        "index": index,
        "focalLen": scene.focal_px * size[1] / height,
        "CameraPosition": position.tolist(),
        "CameraAngle": rotation.tolist(),
    }
    fields |= {key: value for key, value in scene.reported.items() if key in fields}
    if options.depth_buffer and scene.depth is not None:
        fields[DEPTH] = buffer_field(depth_buffer(sampled(scene.depth, size), NEAR_M))
    if options.stencil_buffer and scene.semantic is not None:
        fields[STENCIL] = buffer_field(stencil_from_semantic(sampled(scene.semantic, size)))
    return fields


def empty_fields(options: DatasetOptions) -> dict[str, Any]:
    """Return every requested key with the value that a harness begins with."""
    wanted = {
        "vehicles": (options.vehicles, []),
        "peds": (options.peds, []),
        "trafficSigns": (options.traffic_signs, []),
        "direction": (options.direction, []),
        "reward": (options.reward, 0.0),
        "throttle": (options.throttle, 0.0),
        "brake": (options.brake, 0.0),
        "steering": (options.steering, 0.0),
        "speed": (options.speed, 0.0),
        "yawRate": (options.yaw_rate, 0.0),
        "drivingMode": (options.driving_mode, 0),
        "location": (options.location, []),
        "time": (options.time, []),
        "bbox2d": (options.bbox2d, []),
        DEPTH: (options.depth_buffer, []),
        STENCIL: (options.stencil_buffer, []),
        **{key: (options.others.get(option), []) for option, key in FORK_KEYS.items()},
    }
    return {key: empty for key, (requested, empty) in wanted.items() if requested}


def sampled(values: NDArray[Any], size: Size) -> NDArray[Any]:
    """Return labels (H, W) in another size, each pixel the nearest one's."""
    height, width = values.shape
    if (width, height) == size:
        return values
    rows = (2 * np.arange(size[1]) + 1) * height // (2 * size[1])
    columns = (2 * np.arange(size[0]) + 1) * width // (2 * size[0])
    chosen: NDArray[Any] = values[rows[:, None], columns]
    return chosen


def _resized(image: NDArray[np.uint8], size: Size) -> NDArray[np.uint8]:
    height, width = image.shape[:2]
    if (width, height) == size:
        return image
    cv2 = require("cv2", extra="live")
    smaller = size[0] < width
    kind = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, size, interpolation=kind), np.uint8)


def _of_one_camera(frames: Iterator[Frame]) -> Iterator[Frame]:
    """Yield the frames of the first one's camera, the first twice: nothing moved before it."""
    camera = None
    for frame in frames:
        if camera is None:
            camera = frame.camera
            yield frame
        if frame.camera == camera:
            yield frame
