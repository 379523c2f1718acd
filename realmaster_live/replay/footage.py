"""What can be realized again: recordings, ours and a game's, videos, pictures, a simulator's logs.

Only what a file says of itself is looked at here; `open_footage` gives its frames.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from realmaster_live.errors import RecordingError
from realmaster_live.protocols import Source
from realmaster_live.recording import Recording
from realmaster_live.recording.about import META
from realmaster_live.replay.picture_files import list_pictures
from realmaster_live.replay.video_files import SUFFIXES

Size = tuple[int, int]  # width, height
Kind = Literal["recording", "video", "pictures", "game", "carla-log"]
LOG = "carla-log:"
FOV_DEG = 80.0  # of footage that does not tell its lens


@dataclass(frozen=True, kw_only=True)
class Footage:
    """One input: consecutive frames of one drive.

    Attributes:
        kind: which of the five. name: what to call it. path: where it is.
        cameras: name -> width and height of its pictures, pixels.
        fps: frames a second. frames: how many are to come, of all cameras.
        sha256: of everything that decides its frames.
        told: where it is from: town, route, weather and so on.
        options: what opening it needs besides the path.
    """

    kind: Kind
    name: str
    path: str
    cameras: Mapping[str, Size]
    fps: float
    frames: int
    sha256: str
    told: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How footage is read.

    Attributes:
        fps: of folders of pictures that do not tell theirs, of the simulation while a log is
            replayed, and what videos are resampled to; None for their own.
        labels: of recordings and logs; None for all that are there.
        size: width and height of the cameras in a replayed log.
        server: host and port of the server for logs.
    """

    fps: float | None = None
    labels: tuple[str, ...] | None = None
    size: Size | None = None
    server: tuple[str, int] | None = None


def find_footage(text: str, reading: Reading) -> list[Footage]:
    """Return what an argument names: itself, or every recording in a folder of recordings.

    Raises:
        RecordingError: it is none of the five kinds, or cannot be read.
        ConfigError: its rate is not told. PairError, ConnectError: it cannot be read.
    """
    if text.startswith(LOG):
        from realmaster_live.replay.carla_log import describe_log

        return [describe_log(text.removeprefix(LOG), reading)]
    path = Path(text)
    if path.suffix.lower() == ".log" and not path.is_dir():
        from realmaster_live.replay.carla_log import describe_log

        return [describe_log(text, reading)]
    if path.is_file() and path.suffix.lower() in SUFFIXES:
        from realmaster_live.replay.video_source import describe_video

        return [describe_video(path, reading)]
    if path.is_dir():
        return _in_folder(path, reading)
    if path.suffix == ".pz" and path.is_file():
        return _games(path, reading)
    got = f"a file of another kind, {path.name}" if path.exists() else "nothing there"
    raise RecordingError(
        f"expected a recording (a folder with {META}), a video ({', '.join(SUFFIXES)}), a folder "
        f"of pictures, a game's recording or a log at {path}, got {got}: name another"
    )


def _in_folder(path: Path, reading: Reading) -> list[Footage]:
    if (path / META).exists():
        return [_describe_recording(path, reading)]
    inside = [child for child in sorted(path.iterdir()) if (child / META).exists()]
    if inside and not list_pictures(path):
        return [_describe_recording(child, reading) for child in inside]
    return _games(path, reading) or _pictures(path, reading)


def _games(path: Path, reading: Reading) -> list[Footage]:
    """Return a game's recordings in a folder, or in the folders below where no pictures are."""
    from realmaster_live.replay.game_source import describe_game, find_games

    found = find_games(path, deep=not (path.is_dir() and list_pictures(path)))
    return [describe_game(layout, drive, reading) for layout, drive in found]


def _pictures(path: Path, reading: Reading) -> list[Footage]:
    from realmaster_live.replay.game_source import looked_for
    from realmaster_live.replay.picture_source import describe_pictures

    if not list_pictures(path):
        raise RecordingError(
            f"expected a recording, recordings or pictures in {path}, ours or a game's, got none: "
            f"neither {META}, nor pictures, nor {looked_for()}: name the folder that holds them"
        )
    return [describe_pictures(path, reading)]


def open_footage(footage: Footage, reading: Reading, *, pace: bool = False) -> Source:
    """Return the frames of an input."""
    source: Source
    if footage.kind == "recording":
        source = Recording(footage.path, labels=reading.labels, pace=pace)
        return source
    if footage.kind == "video":
        from realmaster_live.replay.video_source import VideoFile

        return VideoFile(footage)
    if footage.kind == "pictures":
        from realmaster_live.replay.picture_source import PictureFolder

        return PictureFolder(footage)
    if footage.kind == "game":
        from realmaster_live.replay.game_source import game_source

        return game_source(footage, reading)
    from realmaster_live.replay.carla_log import CarlaLog

    return CarlaLog(footage)


def pinhole(width: int, height: int, fov_deg: float) -> NDArray[np.float64]:
    """Return the (3, 3) intrinsics of a horizontal field of view; see docs/conventions.md."""
    focal = width / (2 * np.tan(np.radians(fov_deg) / 2))
    return np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])


def sha256_of(*paths: Path) -> str:
    """Return one hash over the names and bytes of files."""
    digest = hashlib.sha256()
    for path in paths:
        with path.open("rb") as file:
            digest.update(path.name.encode() + hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def _describe_recording(path: Path, reading: Reading) -> Footage:
    with Recording(path, labels=reading.labels, verify=False) as recording:
        meta = recording.meta
        files = sorted((*path.rglob("segment.json"), *path.rglob("*.arrows")))
        return Footage(
            kind="recording",
            name=path.resolve().name,
            path=str(path.resolve()),
            cameras={
                name: (meta.cameras[name].width, meta.cameras[name].height)
                for name in recording.cameras
            },
            fps=meta.spec.fps,
            frames=len(recording),
            sha256=sha256_of(path / META, *files),
            told=meta.about.source,
        )
