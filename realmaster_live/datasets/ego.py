"""The vehicle that carries the cameras: its pose and how it moves."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from realmaster_live.recording.sample import Sample

Matrix = NDArray[np.float64]

# camera to vehicle, for a camera that looks forward from the vehicle's origin
FORWARD: Matrix = np.array(
    [[0.0, 0.0, 1.0, 0.0], [-1.0, 0.0, 0.0, 0.0], [0.0, -1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]]
)
# differences up to which two mounts count as equal: most simulators have float32 poses
MOUNT_SLACK_M, MOUNT_SLACK_RAD = 0.05, np.radians(0.5)


def cam_to_ego(sample: Sample) -> Matrix:
    """Return the pose (4, 4) of the camera in its vehicle; without a vehicle it is FORWARD."""
    frame = sample.frame
    if frame.ego_to_world is None:
        return FORWARD
    return np.asarray(np.linalg.inv(frame.ego_to_world) @ frame.cam_to_world)


def ego_to_world(sample: Sample, mount: Matrix | None = None) -> Matrix:
    """Return the pose (4, 4) of the vehicle in the world, derived from the camera's pose.

    `mount` is the camera in its vehicle, `cam_to_ego` of the same frame by default. With a mount
    that was measured in another frame, the camera's pose stays exact.
    """
    mount = cam_to_ego(sample) if mount is None else mount
    return np.asarray(sample.frame.cam_to_world @ np.linalg.inv(mount))


class Mounts:
    """The mounts of a drive's cameras; a camera keeps its mount until it is moved."""

    def __init__(self) -> None:
        self._known: dict[str, Matrix] = {}

    def of(self, sample: Sample) -> Matrix:
        """Return the mount (4, 4) of a frame's camera: the camera in its vehicle."""
        measured = cam_to_ego(sample)
        known = self._known.setdefault(sample.frame.camera, measured)
        turn = known[:3, :3].T @ measured[:3, :3]
        angle = np.arccos(np.clip((np.trace(turn) - 1) / 2, -1, 1))
        shift = np.linalg.norm(known[:3, 3] - measured[:3, 3])
        if angle > MOUNT_SLACK_RAD or shift > MOUNT_SLACK_M:
            known = self._known[sample.frame.camera] = measured
        return known


def steps_between(poses: Matrix) -> NDArray[np.float64]:
    """Return the motions (T - 1, 3) between consecutive poses (T, 4, 4), in axes of the earlier.

    The columns are metres forward, metres to the left, and radians turned to the left.
    """
    motions = np.linalg.inv(poses[:-1]) @ poses[1:]
    turns = np.arctan2(motions[:, 1, 0], motions[:, 0, 0])
    return np.stack([motions[:, 0, 3], motions[:, 1, 3], turns], axis=1)
