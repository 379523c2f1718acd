"""The state log: every tick's scene as one JSON line, so that any frame can be drawn again."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from realmaster_live.errors import RecordingError
from realmaster_live.minitown.scene import CameraView, Instance, SceneState, Weather

VERSION = 1
DIGITS = 7  # after the point: a tenth of a micrometre


@dataclass(frozen=True, kw_only=True)
class LoggedCamera:
    """A camera that was listened to: its actor id, its blueprint id, its pinhole."""

    actor_id: int
    type_id: str
    view: CameraView


@dataclass(frozen=True, kw_only=True)
class LoggedState:
    """One line of the log; `frame` in `state` is the number that the images carry."""

    state: SceneState
    cameras: tuple[LoggedCamera, ...]


class StateLog:
    """Appends states to a file; a context manager, `close` may be called twice."""

    def __init__(self, path: Path | str) -> None:
        self._file: TextIO | None = Path(path).open("a", encoding="utf-8")  # noqa: SIM115

    def append(self, state: SceneState, cameras: Iterable[LoggedCamera] = ()) -> None:
        """Write one tick."""
        if self._file is None:
            raise RecordingError("expected an open state log, got a closed one: open another")
        line = {
            "v": VERSION,
            "town": state.town_seed,
            "frame": state.frame,
            "t": state.time_s,
            "weather": astuple(state.weather),
            "instances": [_instance_row(instance) for instance in state.instances],
            "cameras": [
                [c.actor_id, c.type_id, _flat(c.view.cam_to_world), *_lens(c.view)] for c in cameras
            ],
        }
        self._file.write(json.dumps(line, separators=(",", ":")) + "\n")

    def close(self) -> None:
        """Flush and close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def __enter__(self) -> StateLog:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def read_states(path: Path | str) -> Iterator[LoggedState]:
    """Yield the log's ticks in order; a last line that was cut off by a crash is left out.

    Raises:
        RecordingError: a line is damaged, or was written by another version.
    """
    with Path(path).open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            if not line.endswith("\n"):
                return
            try:
                row = json.loads(line)
                if row["v"] != VERSION:
                    raise ValueError(f"version {row['v']}")
                state = _state(row)
            except (ValueError, KeyError, TypeError, IndexError) as error:
                raise RecordingError(
                    f"expected a state of version {VERSION} on line {number} of {path}, got "
                    f"{error!r}: record again"
                ) from error
            yield state


def _instance_row(one: Instance) -> list[Any]:
    return [
        one.actor_id,
        one.model,
        _flat(one.model_to_world),
        [round(part, 4) for part in one.paint],
        round(one.wheel_spin, 5),
        round(one.wheel_steer, 5),
        round(one.stride, 5),
        sorted(one.lit),
    ]


def _state(row: dict[str, Any]) -> LoggedState:
    instances = tuple(
        Instance(
            actor_id=actor_id,
            model=model,
            model_to_world=_pose(pose),
            paint=(paint[0], paint[1], paint[2]),
            wheel_spin=spin,
            wheel_steer=steer,
            stride=stride,
            lit=frozenset(lit),
        )
        for actor_id, model, pose, paint, spin, steer, stride, lit in row["instances"]
    )
    cameras = tuple(
        LoggedCamera(
            actor_id=actor_id,
            type_id=type_id,
            view=CameraView(cam_to_world=_pose(pose), width=width, height=height, fov_deg=fov),
        )
        for actor_id, type_id, pose, width, height, fov in row["cameras"]
    )
    names = Weather.__dataclass_fields__
    state = SceneState(
        town_seed=row["town"],
        frame=row["frame"],
        time_s=row["t"],
        weather=Weather(**dict(zip(names, row["weather"], strict=True))),
        instances=instances,
    )
    return LoggedState(state=state, cameras=cameras)


def _lens(view: CameraView) -> tuple[int, int, float]:
    return view.width, view.height, view.fov_deg


def _flat(pose: NDArray[np.float64]) -> list[float]:
    """Return the first three rows of a (4, 4) matrix."""
    values: list[float] = np.round(pose[:3], DIGITS).ravel().tolist()
    return values


def _pose(flat: Sequence[float]) -> NDArray[np.float64]:
    pose = np.eye(4)
    pose[:3] = np.array(flat, np.float64).reshape(3, 4)
    return pose
