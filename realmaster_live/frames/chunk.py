"""Frames and chunks: the axes, units and clocks of everything that flows.

World and camera axes are right-handed; a camera looks along +z with x right and y down. Lengths
are metres, angles radians unless a name says `_deg`, time is float seconds. Colour is sRGB uint8.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realmaster_live.frames.ego import EgoState
from realmaster_live.frames.objects import SceneObject
from realmaster_live.frames.source_info import SourceInfo
from realmaster_live.frames.trust import FrameTrust

LABEL_DTYPES: Mapping[str, type[np.generic]] = {
    "depth": np.float32,  # (H, W) metres along the optical axis
    "semantic": np.uint8,  # (H, W) CARLA's class numbers
    "instance": np.int32,  # (H, W) class << 16 | id, 0 where there is no object
    "flow": np.float32,  # (H, W, 2) pixels, this frame's pixel minus where it was before
}


def no_distortion() -> NDArray[np.float64]:
    """Return the (5,) coefficients of a pinhole."""
    return np.zeros(5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """One camera picture with everything known about it.

    Attributes:
        camera: name of the camera.
        frame_id: the simulator's own frame number.
        timestamp: simulation clock, seconds.
        captured_at: host monotonic clock at arrival, seconds.
        image: (H, W, 3) uint8 sRGB.
        intrinsics: (3, 3) float64, pixels.
        cam_to_world: (4, 4) float64, metres.
        labels: name -> array of the shape and dtype in LABEL_DTYPES.
        dropped_before: frames lost between this frame and the one before it.
        distortion: (5,) float64, OpenCV's k1, k2, p1, p2, k3; zeros for a pinhole.
        ego_to_world: (4, 4) float64, metres, of the vehicle that carries the camera: x forward,
            y left, z up; None where there is none.
        objects: what stands and moves in the world, or the part of it that may be in view.
        source: the source as of this frame, with its town and weather; None where they never
            differ from the source's own `info`.
        ego: what the vehicle that carries the camera did and measured; None where it is unknown.
    """

    camera: str
    frame_id: int
    timestamp: float
    captured_at: float
    image: NDArray[np.uint8]
    intrinsics: NDArray[np.float64]
    cam_to_world: NDArray[np.float64]
    labels: Mapping[str, NDArray[np.generic]] = field(default_factory=dict)
    dropped_before: int = 0
    distortion: NDArray[np.float64] = field(default_factory=no_distortion)
    ego_to_world: NDArray[np.float64] | None = None
    objects: tuple[SceneObject, ...] = ()
    source: SourceInfo | None = None
    ego: EgoState | None = None

    def __repr__(self) -> str:
        """Show the camera, number, time, size, labels and objects."""
        height, width = self.image.shape[:2]
        return (
            f"Frame({self.camera!r} {self.frame_id} at {self.timestamp:.3f} s, {width}x{height}, "
            f"labels: {', '.join(self.labels) or 'none'}, {len(self.objects)} objects)"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkSpec:
    """The chunks an engine takes: `frames` pictures of `height` x `width` pixels at `fps`.

    A causal video autoencoder's first chunk may be shorter: `first_frames` says how long it is.
    """

    frames: int
    height: int
    width: int
    fps: float
    first_frames: int = 0

    def __post_init__(self) -> None:
        """Fill in `first_frames`, which equals `frames` unless it is given."""
        if min(self.frames, self.height, self.width) < 1 or self.fps <= 0:
            raise ValueError(f"expected positive sizes and fps, got {self}: give all of them")
        if self.first_frames < 1:
            object.__setattr__(self, "first_frames", self.frames)


def _stacked(frame_field: str, dtype: Any = None) -> dict[str, Any]:
    """Return the metadata of a field with one entry a frame, of a field of Frame."""
    return {"frame": frame_field, "dtype": dtype, "stacked": True}


def _shared(frame_field: str) -> dict[str, Any]:
    """Return the metadata of a field that all frames of a chunk have in common."""
    return {"frame": frame_field, "stacked": False}


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """Consecutive frames of one camera as arrays, time first.

    Attributes:
        index: consecutive per camera; a gap means that chunks were dropped.
        camera: name of the camera.
        frames: (T, H, W, 3) uint8 sRGB.
        frame_ids: (T,) int64, the simulator's frame numbers.
        timestamps: (T,) float64, simulation clock, seconds.
        captured_at: (T,) float64, host monotonic clock, seconds.
        intrinsics: (3, 3) float64, pixels.
        cam_to_world: (T, 4, 4) float64, metres.
        labels: name -> array with leading axis T.
        dropped_before: frames lost between the chunk before and this one.
        rendered: (T, H, W, 3) uint8 sRGB, the simulator's own picture once an engine has replaced
            `frames`; None before.
        prompt: what an engine showed or faded to; None before, and from an engine without prompts.
        prompt_weight: the prompt's share, less than 1 while it is faded to.
        seed: what the engine drew this chunk's noise from; None before, and without noise.
        distortion: (5,) float64, as a frame's.
        ego_to_world: (T, 4, 4) float64, metres; None where no vehicle carries the camera.
        objects: one tuple a frame; empty where the source knows none.
        sources: one entry a frame; empty where the frames report none.
        trust: one entry a frame once a gate has judged the chunk; empty before.
        egos: one entry a frame; empty where the source knows nothing of the vehicle.
    """

    index: int
    camera: str = field(metadata=_shared("camera"))
    frames: NDArray[np.uint8] = field(metadata=_stacked("image"))
    frame_ids: NDArray[np.int64] = field(metadata=_stacked("frame_id", np.int64))
    timestamps: NDArray[np.float64] = field(metadata=_stacked("timestamp", np.float64))
    captured_at: NDArray[np.float64] = field(metadata=_stacked("captured_at", np.float64))
    intrinsics: NDArray[np.float64] = field(metadata=_shared("intrinsics"))
    cam_to_world: NDArray[np.float64] = field(metadata=_stacked("cam_to_world"))
    labels: Mapping[str, NDArray[np.generic]] = field(
        metadata=_stacked("labels"), default_factory=dict
    )
    dropped_before: int = 0
    rendered: NDArray[np.uint8] | None = field(metadata={"stacked": True}, default=None)
    prompt: str | None = None
    prompt_weight: float = 1.0
    seed: int | None = None
    distortion: NDArray[np.float64] = field(
        metadata=_shared("distortion"), default_factory=no_distortion
    )
    ego_to_world: NDArray[np.float64] | None = field(
        metadata=_stacked("ego_to_world"), default=None
    )
    objects: tuple[tuple[SceneObject, ...], ...] = field(metadata=_stacked("objects"), default=())
    sources: tuple[SourceInfo, ...] = field(metadata=_stacked("source"), default=())
    trust: tuple[FrameTrust, ...] = field(metadata={"stacked": True}, default=())
    egos: tuple[EgoState, ...] = field(metadata=_stacked("ego"), default=())

    @classmethod
    def of(cls, frames: Sequence[Frame], *, index: int, dropped_before: int = 0) -> Chunk:
        """Return frames of one camera, its optics and labels unchanged, as a chunk.

        What not every frame has (`ego_to_world`, `source`, `ego`) the chunk has not either.
        """
        values: dict[str, Any] = {"index": index, "dropped_before": dropped_before}
        for one in fields(cls):
            if "frame" in one.metadata:
                name = one.metadata["frame"]
                found = [getattr(frame, name) for frame in frames]
                if one.metadata["stacked"]:
                    values[one.name] = _stack(found, one.metadata["dtype"])
                else:
                    values[one.name] = found[0]
        values["sources"] = values["sources"] or ()
        values["egos"] = values["egos"] or ()
        return cls(**values)

    def __post_init__(self) -> None:
        """Check that all arrays agree, once, at the border."""
        frames = self.frames
        if frames.ndim != 4 or frames.shape[3] != 3 or frames.dtype != np.uint8:
            raise ValueError(
                f"expected frames (T, H, W, 3) uint8, got {frames.shape} {frames.dtype}: "
                "convert to sRGB bytes first"
            )
        time = len(frames)
        expected = {
            "frame_ids": (time,),
            "timestamps": (time,),
            "captured_at": (time,),
            "intrinsics": (3, 3),
            "cam_to_world": (time, 4, 4),
            "distortion": (5,),
        }
        if self.ego_to_world is not None:
            expected["ego_to_world"] = (time, 4, 4)
        for name, shape in expected.items():
            if getattr(self, name).shape != shape:
                raise ValueError(
                    f"expected {name} of shape {shape}, got {getattr(self, name).shape}: "
                    "give one entry a frame"
                )
        for name in ("objects", "sources", "trust", "egos"):
            if len(getattr(self, name)) not in (0, time):
                raise ValueError(
                    f"expected {name} of {time} frames or none, got {len(getattr(self, name))}: "
                    "give one entry a frame"
                )
        for name, label in self.labels.items():
            if label.shape[:3] != frames.shape[:3]:
                raise ValueError(
                    f"expected label {name!r} to start with {frames.shape[:3]}, got {label.shape}: "
                    "labels must match the picture pixel by pixel"
                )

    def __len__(self) -> int:
        """Return the number of frames."""
        return len(self.frames)

    def __repr__(self) -> str:
        """Show the camera, index, frames, size and labels."""
        time, height, width = self.frames.shape[:3]
        ids = f"{self.frame_ids[0]}..{self.frame_ids[-1]}" if time else "none"
        kind = "captured" if self.rendered is None else "realized"
        return (
            f"Chunk({self.camera!r} {self.index}, frames {ids}, {time}x{width}x{height} {kind}, "
            f"labels: {', '.join(self.labels) or 'none'})"
        )

    def frame(self, row: int) -> Frame:
        """Return one frame, with the picture of `frames`: the realized one once there is one."""
        values: dict[str, Any] = {"dropped_before": 0 if row else self.dropped_before}
        for one in fields(self):
            if "frame" in one.metadata:
                value = getattr(self, one.name)
                values[one.metadata["frame"]] = (
                    _at(value, row) if one.metadata["stacked"] else value
                )
        values["objects"] = values["objects"] or ()
        return Frame(**values)

    def last(self, count: int) -> Chunk:
        """Return the last `count` frames; the others count as dropped before them."""
        skip = len(self) - count
        if skip <= 0:
            return self
        rest = {
            one.name: _skipped(getattr(self, one.name), skip)
            for one in fields(self)
            if one.metadata.get("stacked")
        }
        return replace(self, **rest, dropped_before=self.dropped_before + skip)

    def with_frames(self, frames: NDArray[np.uint8]) -> Chunk:
        """Return this chunk with other pixels of the same shape.

        Ids, poses and labels stay; the simulator's picture moves to `rendered`.
        """
        if frames.shape != self.frames.shape:
            raise ValueError(
                f"expected frames of shape {self.frames.shape}, got {frames.shape}: "
                "an engine must answer with as many pixels as it was given"
            )
        rendered = self.frames if self.rendered is None else self.rendered
        return replace(self, frames=frames, rendered=rendered)


def _stack(values: Sequence[Any], dtype: Any) -> Any:
    """Return one value a frame as one array, a mapping of arrays or a tuple."""
    if any(value is None for value in values):
        return None
    first = values[0]
    if isinstance(first, Mapping):
        return {name: np.stack([value[name] for value in values]) for name in first}
    if isinstance(first, np.ndarray):
        return np.stack(values)
    return tuple(values) if dtype is None else np.array(values, dtype)


def _at(value: Any, row: int) -> Any:
    """Return one frame's part of a stacked value; None where there is none."""
    if isinstance(value, Mapping):
        return {name: label[row] for name, label in value.items()}
    if value is None or len(value) == 0:
        return None
    return value[row].item() if isinstance(value[row], np.generic) else value[row]


def _skipped(value: Any, skip: int) -> Any:
    if isinstance(value, Mapping):
        return {name: label[skip:] for name, label in value.items()}
    return None if value is None else value[skip:]
