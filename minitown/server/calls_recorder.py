"""Remote calls about recorder logs: write one, list its contents, replay it."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from realmaster_live.bridges.carla.wire import shapes
from realmaster_live.errors import ActorError, RecordingError, reason
from realmaster_live.minitown.server.calls import Call, command, query
from realmaster_live.minitown.server.episode import Episode
from realmaster_live.minitown.server.log_file import LogFrame, read_log
from realmaster_live.minitown.server.log_recorder import LogRecorder
from realmaster_live.minitown.server.log_replayer import LogReplayer

SUFFIXES = (".log", ".rec")
LOOPBACK = ("127.0.0.1", "localhost", "::1")


def log_path(episode: Episode, name: Any) -> Path:
    """Return where a log is: a relative name lies in the user's own folder of logs.

    An absolute name is taken only from clients of this machine.

    Raises:
        ActorError: the name does not end as logs do, or leads out of the folder.
    """
    path = Path(shapes.text(name, "file name"))
    if path.suffix not in SUFFIXES or "\0" in str(path):
        raise ActorError(
            f"expected the name of a log, which ends in {' or '.join(SUFFIXES)}, got "
            f"{path.name[:40]!r}: give it one of these endings"
        )
    if path.is_absolute() and episode.config.host in LOOPBACK:
        return path
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    folder = Path(base) / "realmaster-live" / "minitown-logs"
    if path.is_absolute() or not (folder / path).resolve().is_relative_to(folder.resolve()):
        raise ActorError(
            f"expected the name of a log inside {folder}, got {str(path)[:80]!r}: name it without "
            "a folder"
        )
    return folder / path


def _start(episode: Episode, name: Any, additional: Any = False) -> str:
    path = log_path(episode, name)
    shapes.flag(additional, "additional data")
    try:
        recorder = LogRecorder(path, episode.town.map_name)
    except (OSError, RecordingError, ValueError) as error:
        raise ActorError(
            f"expected to write a log at {path}, got {reason(error)}: name another file"
        ) from error
    episode.stop_recorder()
    episode.recorder = recorder
    return str(path)


def _stop(episode: Episode) -> None:
    episode.stop_recorder()


def _info(episode: Episode, name: Any, show_all: Any = False) -> str:
    path, every = log_path(episode, name), shapes.flag(show_all, "show all")
    if not path.is_file():
        return f"File {path} not found on server\n"
    try:
        header, frames = read_log(path)
    except RecordingError as error:
        return f"{error}\n"
    when = time.strftime("%x %X", time.localtime(header.date_s))
    lines = [f"Version: 1\nMap: {header.map_name}\nDate: {when}\n"]
    for frame in frames:
        if every or frame.added or frame.deleted:
            lines.append(f"Frame {frame.number} at {frame.elapsed_s:g} seconds")
        lines += _events(frame)
    total = frames[-1].elapsed_s if frames else 0.0
    return "\n".join([*lines, f"\nFrames: {len(frames)}", f"Duration: {total:g} seconds", ""])


def _events(frame: LogFrame) -> list[str]:
    lines = []
    for one in frame.added:
        x, y, z = (100.0 * part for part in one.pose.location)
        lines.append(f" Create {one.id}: {one.type_id} ({one.kind}) at ({x:g}, {y:g}, {z:g})")
        lines += [f"  {name} = {value}" for name, value in one.attributes.items()]
    return lines + [f" Destroy {one}" for one in frame.deleted]


async def _replay(
    episode: Episode,
    name: Any,
    start: Any,
    duration: Any,
    follow: Any = 0,
    sensors: Any = False,
    offset: Any = None,
) -> str:
    path = log_path(episode, name)
    start_s, seconds = shapes.number(start, "start"), shapes.number(duration, "duration")
    shapes.whole(follow, "actor to follow")
    episode.stop_replayer(keep_actors=False)
    lines = [f"Replaying File: {path}"]
    if not path.is_file():
        return "\n".join([*lines, f"File {path} not found on server", ""])
    try:
        header, frames = read_log(path)
    except RecordingError as error:
        return "\n".join([*lines, str(error), ""])
    if not frames:
        return "\n".join([*lines, "Total time recorded: 0", ""])
    if header.map_name != episode.town.map_name:
        lines += [f"Loading map {header.map_name}", "Replayer will start after map is loaded..."]
        await episode.load(header.map_name, False)
    total = frames[-1].elapsed_s
    start_s = max(0.0, total + start_s) if start_s < 0 else start_s
    stop_s = start_s + seconds if seconds > 0 else total
    episode.world.replayer = LogReplayer(
        episode.world, frames, episode.replay_options, start_s=start_s, stop_s=stop_s
    )
    factor = episode.replay_options.time_factor
    lines.append(f"Total time recorded: {total:g}")
    lines.append(f"Replaying from {start_s:g} s - {stop_s:g} s ({total:g} s) at {factor:.1f}x")
    return "\n".join([*lines, ""])


def _stop_replayer(episode: Episode, keep_actors: Any) -> None:
    episode.stop_replayer(keep_actors=shapes.flag(keep_actors, "keep actors"))


def _set_factor(episode: Episode, factor: Any) -> None:
    episode.replay_options.time_factor = max(0.0, shapes.number(factor, "time factor", 100.0))


def _ignore_hero(episode: Episode, on: Any) -> None:
    episode.replay_options.ignore_hero = shapes.flag(on, "ignore hero")


def _ignore_spectator(episode: Episode, on: Any) -> None:
    episode.replay_options.ignore_spectator = shapes.flag(on, "ignore spectator")


CALLS: Mapping[str, Call] = {
    "start_recorder": query(_start),
    "stop_recorder": command(_stop),
    "show_recorder_file_info": query(_info),
    "replay_file": query(_replay),
    "stop_replayer": command(_stop_replayer),
    "set_replayer_time_factor": command(_set_factor),
    "set_replayer_ignore_hero": command(_ignore_hero),
    "set_replayer_ignore_spectator": command(_ignore_spectator),
}
