"""What the vehicle was told and felt, as LeRobot's action and as a part of its state."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from realmaster_live.datasets.selection import Drive
from realmaster_live.frames.chunk import Frame
from realmaster_live.frames.ego import EgoState


def has_controls(drive: Drive) -> bool:
    """Return whether controls of a drive were recorded."""
    throttle = drive.recording.table("ego")["throttle"]
    return bool(len(throttle) > throttle.null_count)


def control_of(frame: Frame) -> EgoState | None:
    """Return a frame's state if its control is known at this very frame."""
    return frame.ego if frame.ego is not None and frame.ego.control is not None else None


def actions(states: Sequence[EgoState]) -> NDArray[np.float64]:
    """Return rows (T, 5) of the columns DRIVEN_ACTION."""
    rows = [
        (control.throttle, control.steer, control.brake, control.hand_brake, control.reverse)
        for state in states
        if (control := state.control) is not None
    ]
    return np.array(rows, np.float64)


def accelerations(states: Sequence[EgoState], poses: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return (T, 3) accelerations without gravity in the axes of the vehicle, (T, 4, 4) poses."""
    world = np.array([state.acceleration for state in states])
    return np.asarray(np.einsum("tji,tj->ti", poses[:, :3, :3], world))
