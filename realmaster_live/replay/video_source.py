"""A video file as a source: at its own rate, or resampled to a constant one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from realmaster_live.frames.chunk import Frame
from realmaster_live.frames.geometry import pinhole
from realmaster_live.frames.source_info import SourceInfo
from realmaster_live.replay import video_files
from realmaster_live.replay.footage import FOV_DEG, Footage, Reading, info_of, sha256_of
from realmaster_live.replay.sidecar import told_beside

CAMERA = "front"


def describe_video(path: Path, reading: Reading) -> Footage:
    """Return what a video says of itself.

    Raises:
        PairError: it has no playable video stream.
    """
    facts, told = video_files.describe(path), told_beside(path)
    own = steady_rate(facts.times) or facts.fps
    fps = reading.fps or own
    return Footage(
        kind="video",
        name=path.stem,
        path=str(path.resolve()),
        cameras={CAMERA: (facts.width, facts.height)},
        fps=fps,
        frames=len(sampled(facts.times, fps)),
        sha256=sha256_of(path),
        told={"simulator": "video", "route": path.stem, **told},
        options={"fov_deg": float(told.get("fov_deg", FOV_DEG))},
    )


def steady_rate(times: NDArray[np.float64]) -> float | None:  # (T,) seconds
    """Return the frames a second of most steps; None of fewer than two frames."""
    step = float(np.median(np.diff(times))) if len(times) > 1 else 0.0
    return round(1.0 / step, 3) if step > 0 else None


def sampled(
    times: NDArray[np.float64],  # (T,) seconds, ascending
    fps: float,
) -> NDArray[np.int64]:  # (N,) ascending
    """Return which frame is shown at n / fps: each once where that holds, else the nearest.

    A video whose every frame lies within half a step of its turn has the rate `fps` and is taken as
    it is. Of any other one, the frame whose time is nearest to n / fps is taken, so some are taken
    twice and some never; none are blended.
    """
    since = times - times[0]
    if np.all(np.abs(since * fps - np.arange(len(since))) < 0.5):
        return np.arange(len(since))
    turns = np.arange(int(np.floor(since[-1] * fps + 1e-6)) + 1) / fps
    after = np.clip(np.searchsorted(since, turns), 1, len(since) - 1)
    return np.where(turns - since[after - 1] <= since[after] - turns, after - 1, after)


class VideoFile:
    """A source of the frames of a video; it has no labels, and its pose is unknown: it stays."""

    def __init__(self, footage: Footage) -> None:
        self._footage = footage
        self._closed = False

    @property
    def info(self) -> SourceInfo:
        """What is known of where the pictures are from."""
        return info_of(self._footage)

    def frames(self) -> Iterator[Frame]:
        """Yield the frames in order."""
        footage, path = self._footage, Path(self._footage.path)
        turns = sampled(video_files.describe(path).times, footage.fps)
        width, height = footage.cameras[CAMERA]
        optics = pinhole(width, height, footage.options["fov_deg"])
        number = 0
        for index, picture in enumerate(video_files.decode(path)):
            if self._closed:
                return
            if number < len(turns) and turns[number] == index:
                image = video_files.to_rgb(picture)
            while number < len(turns) and turns[number] == index:
                yield Frame(
                    camera=CAMERA,
                    frame_id=number,
                    timestamp=number / footage.fps,
                    captured_at=time.monotonic(),
                    image=image,
                    intrinsics=optics,
                    cam_to_world=np.eye(4),
                )
                number += 1

    def close(self) -> None:
        """End `frames`; may be called twice."""
        self._closed = True
