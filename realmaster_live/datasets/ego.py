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
# by which a measured mount may differ from frame to frame: poses are float32 in most simulators
MOUNT_SLACK_M, MOUNT_SLACK_RAD = 0.05, np.radians(0.5)


def cam_to_ego(sample: Sample) -> Matrix:
    """Return (4, 4) the camera in its vehicle; a camera without one is its own, looking forward."""
    frame = sample.frame
    if frame.ego_to_world is None:
        return FORWARD
    return np.asarray(np.linalg.inv(frame.ego_to_world) @ frame.cam_to_world)


def ego_to_world(sample: Sample, mount: Matrix | None = None) -> Matrix:
    """Return (4, 4) the vehicle in the world, as a `mount` has it, by default `cam_to_ego`'s.

    With a mount that was measured in another frame, the camera's own pose stays exact.
    """
    mount = cam_to_ego(sample) if mount is None else mount
    return np.asarray(sample.frame.cam_to_world @ np.linalg.inv(mount))


class Mounts:
    """Where each camera of a drive sits: one mount for as long as the camera is not moved."""

    def __init__(self) -> None:
        self._known: dict[str, Matrix] = {}

    def of(self, sample: Sample) -> Matrix:
        """Return (4, 4) the mount of a frame's camera."""
        measured = cam_to_ego(sample)
        known = self._known.setdefault(sample.frame.camera, measured)
        turn = known[:3, :3].T @ measured[:3, :3]
        angle = np.arccos(np.clip((np.trace(turn) - 1) / 2, -1, 1))
        shift = np.linalg.norm(known[:3, 3] - measured[:3, 3])
        if angle > MOUNT_SLACK_RAD or shift > MOUNT_SLACK_M:
            known = self._known[sample.frame.camera] = measured
        return known


def steps_between(poses: Matrix) -> NDArray[np.float64]:
    """Return (T - 1, 3) the motion from each pose (T, 4, 4) to the next, in the first one's axes.

    Metres forward, metres to the left, radians turned to the left.
    """
    motions = np.linalg.inv(poses[:-1]) @ poses[1:]
    turns = np.arctan2(motions[:, 1, 0], motions[:, 0, 0])
    return np.stack([motions[:, 0, 3], motions[:, 1, 3], turns], axis=1)
