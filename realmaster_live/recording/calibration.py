"""calib.json: where each camera sits, and its optics."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realmaster_live.errors import RecordingError
from realmaster_live.frames.chunk import Chunk
from realmaster_live.frames.source_info import CameraInfo
from realmaster_live.recording.files import read_json, write_json

CALIBRATION = "calib.json"
AXES = {
    "camera": "x right, y down, z forward; a pixel's centre lies at its column and row plus 0.5",
    "ego": "x forward, y left, z up; the origin where the simulator puts the vehicle's",
    "world": "right-handed, metres; see docs/conventions.md",
    "matrices": "row by row; cam_to_ego takes points of the camera's axes to the ego's",
    "distortion": "OpenCV's k1, k2, p1, p2, k3",
    "lens": "the simulator's own model of a lens; neither K nor distortion describes it",
}
# CARLA's lens without an effect; its other attributes say how strong an effect is
PLAIN_LENS = {"lens_circle_multiplier": 0.0, "lens_k": -1.0, "lens_kcube": 0.0}


def calibrate(chunk: Chunk, camera: CameraInfo | None = None) -> dict[str, Any]:
    """Return the entry of a camera, from its first chunk and what the source says of it.

    `distortion` is what the frames carry; `lens` holds the simulator's own lens attributes.
    """
    height, width = chunk.frames.shape[1:3]
    cam_to_ego = None
    if chunk.ego_to_world is not None:
        cam_to_ego = (inverse_pose(chunk.ego_to_world[0]) @ chunk.cam_to_world[0]).tolist()
    focal = float(chunk.intrinsics[0, 0])
    return {
        "width": width,
        "height": height,
        "fov_deg": math.degrees(2 * math.atan2(width / 2, focal)),
        "K": chunk.intrinsics.tolist(),
        "distortion": chunk.distortion.tolist(),
        "cam_to_ego": cam_to_ego,
        "mount": None if camera is None or camera.mount is None else dict(camera.mount),
        "lens": None if camera is None or not camera.lens else dict(camera.lens),
    }


def describe_lens(entry: Mapping[str, Any]) -> str:
    """Return how a camera's pictures differ from a pinhole's, in words; "" where they do not."""
    coefficients, lens = entry.get("distortion") or (), entry.get("lens") or {}
    if any(coefficients):
        return f"distortion {', '.join(f'{value:g}' for value in coefficients)}"
    if any(name in lens and lens[name] != plain for name, plain in PLAIN_LENS.items()):
        return ", ".join(f"{name} {value:g}" for name, value in lens.items())
    return ""


def inverse_pose(poses: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the inverses of rotations with translations, (..., 4, 4)."""
    back = np.zeros_like(poses)
    back[..., :3, :3] = np.swapaxes(poses[..., :3, :3], -1, -2)
    back[..., :3, 3:] = -back[..., :3, :3] @ poses[..., :3, 3:]
    back[..., 3, 3] = 1.0
    return back


def write_calibration(folder: Path, cameras: Mapping[str, Mapping[str, Any]]) -> None:
    """Replace calib.json in one step."""
    write_json(folder / CALIBRATION, {"axes": AXES, "cameras": dict(cameras)})


def read_calibration(folder: Path) -> dict[str, Any]:
    """Return camera name -> its entry; RecordingError where the file is damaged."""
    path = folder / CALIBRATION
    cameras = read_json(path).get("cameras", {})
    if not isinstance(cameras, dict) or not all(isinstance(one, dict) for one in cameras.values()):
        raise RecordingError(
            f"expected an entry for each camera in {path}, got something else: restore the file "
            "from a copy or record again"
        )
    return cameras
