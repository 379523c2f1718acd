"""A video file as a source: at its own rate, or resampled to a constant one."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from realmaster_live.frames.chunk import Frame
from realmaster_live.frames.geometry import pinhole
from realmaster_live.replay import video_files
from realmaster_live.replay.footage import FOV_DEG, Footage, Reading, hash_files
from realmaster_live.replay.sidecar import read_sidecar
from realmaster_live.replay.video_rate import sampled

log = logging.getLogger(__name__)

CAMERA = "front"


def describe_video(path: Path, reading: Reading) -> Footage:
    """Return what a video says of itself.

    Raises:
        PairError: it has no playable video stream.
    """
    facts, given = video_files.describe(path), read_sidecar(path)
    fps = reading.fps or facts.fps
    if facts.missing:
        log.warning(
            "expected %d frames in %s by its duration, got %d: it is damaged or cut short, and "
            "what is there is replayed; restore it from a copy for the rest",
            len(facts.times) + facts.missing,
            path,
            len(facts.times),
        )
    return Footage(
        kind="video",
        name=path.stem,
        path=str(path.resolve()),
        cameras={CAMERA: (facts.width, facts.height)},
        fps=fps,
        frames=len(sampled(facts.times, fps)),
        sha256=hash_files(path),
        origin={"simulator": "video", "route": path.stem, **given},
        options={"fov_deg": float(given.get("fov_deg", FOV_DEG))},
    )


def video_frames(footage: Footage) -> Iterator[Frame]:
    """Yield the frames of a video; it has no labels, and its pose is unknown: it stays.

    Raises:
        PairError: the file is damaged.
    """
    path = Path(footage.path)
    facts = video_files.describe(path)
    shown = sampled(facts.times, footage.fps)
    width, height = footage.cameras[CAMERA]
    optics = pinhole(width, height, footage.options["fov_deg"])
    number = 0
    for index, frame in enumerate(video_files.decode(path)):
        if number < len(shown) and shown[number] == index:
            image = video_files.to_picture(frame, facts, path)
        while number < len(shown) and shown[number] == index:
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
