"""The vehicle that carries the cameras: its pose and how it moves."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from realmaster_live.recording.sample import Sample

Matrix = NDArray[np.float64]

# camera to vehicle of a camera that looks forward from the vehicle's own origin
FORWARD: Matrix = np.array(
    [[0.0, 0.0, 1.0, 0.0], [-1.0, 0.0, 0.0, 0.0], [0.0, -1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]]
)


def cam_to_ego(sample: Sample) -> Matrix:
    """Return (4, 4) the camera in its vehicle; a camera without one is its own, looking forward."""
    frame = sample.frame
    if frame.ego_to_world is None:
        return FORWARD
    return np.asarray(np.linalg.inv(frame.ego_to_world) @ frame.cam_to_world)


def ego_to_world(sample: Sample) -> Matrix:
    """Return (4, 4) the vehicle in the world, as `cam_to_ego` has it."""
    return np.asarray(sample.frame.cam_to_world @ np.linalg.inv(cam_to_ego(sample)))


def steps_between(poses: Matrix) -> NDArray[np.float64]:
    """Return (T - 1, 3) the way from each pose (T, 4, 4) to the next, in the axes of the first.

    Metres forward, metres to the left, radians turned to the left.
    """
    ways = np.linalg.inv(poses[:-1]) @ poses[1:]
    turns = np.arctan2(ways[:, 1, 0], ways[:, 0, 0])
    return np.stack([ways[:, 0, 3], ways[:, 1, 3], turns], axis=1)
