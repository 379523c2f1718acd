"""Which kind of footage a path is, and its frames: one module a kind."""

from __future__ import annotations

from pathlib import Path

from realmaster_live.errors import RecordingError
from realmaster_live.protocols import Source
from realmaster_live.recording.about import META
from realmaster_live.replay.carla_log import CarlaLog, describe_log
from realmaster_live.replay.footage import Footage, FootageSource, Reading
from realmaster_live.replay.game_source import (
    describe_game,
    expected_files,
    find_games,
    game_source,
)
from realmaster_live.replay.picture_files import list_pictures
from realmaster_live.replay.picture_source import describe_pictures, picture_frames
from realmaster_live.replay.recording_source import describe_recording, open_recording
from realmaster_live.replay.video_files import SUFFIXES
from realmaster_live.replay.video_source import describe_video, video_frames
from realmaster_live.system.inside import kind_of

LOG = "carla-log:"


def find_footage(text: str, reading: Reading) -> list[Footage]:
    """Return what an argument names: itself, or every recording in a folder of recordings.

    Raises:
        RecordingError: it is none of the five kinds, or cannot be read.
        ConfigError: its rate is not known. PairError, ConnectError: it cannot be read.
    """
    if text.startswith(LOG):
        return [describe_log(text.removeprefix(LOG), reading)]
    path = Path(text)
    if path.suffix.lower() == ".log" and not path.is_dir():
        return [describe_log(text, reading)]
    if path.is_file() and path.suffix.lower() in SUFFIXES:
        return [describe_video(path, reading)]
    if path.is_dir():
        return _in_folder(path, reading)
    if path.suffix == ".pz" and path.is_file():
        return _games(path, reading)
    if path.is_file():
        got = f"a file of another kind, {path.name}"
    elif path.is_symlink() and not path.exists():
        got = "a link to nothing"
    else:
        got = kind_of(path) if path.exists() else "nothing there"
    raise RecordingError(
        f"expected a recording (a folder with {META}), a video ({', '.join(SUFFIXES)}), a folder "
        f"of pictures, a game's recording or a log at {path}, got {got}: name another"
    )


def _in_folder(path: Path, reading: Reading) -> list[Footage]:
    if (path / META).exists():
        return [describe_recording(path, reading)]
    inside = [
        child
        for child in sorted(path.iterdir())
        if not child.name.startswith(".") and (child / META).exists()
    ]
    if inside and not list_pictures(path):
        return [describe_recording(child, reading) for child in inside]
    return _games(path, reading) or _pictures(path, reading)


def _games(path: Path, reading: Reading) -> list[Footage]:
    """Return a game's recordings in a folder, or in the folders below where no pictures are."""
    found = find_games(path, deep=not (path.is_dir() and list_pictures(path)))
    return [describe_game(layout, drive, reading) for layout, drive in found]


def _pictures(path: Path, reading: Reading) -> list[Footage]:
    if not list_pictures(path):
        raise RecordingError(
            f"expected a recording, recordings or pictures in {path}, ours or a game's, got none: "
            f"neither {META}, nor pictures, nor {expected_files()}: name the folder that holds them"
        )
    return [describe_pictures(path, reading)]


def open_footage(footage: Footage, reading: Reading, *, pace: bool = False) -> Source:
    """Return the frames of an input."""
    match footage.kind:
        case "recording":
            return open_recording(footage, reading, pace=pace)
        case "video":
            return FootageSource(footage, video_frames)
        case "pictures":
            return FootageSource(footage, picture_frames)
        case "game":
            return game_source(footage, reading)
        case "carla-log":
            return CarlaLog(footage)
