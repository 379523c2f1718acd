"""A CARLA recorder log as a source: the server replays it, and our cameras look at it."""

from __future__ import annotations

import hashlib
import logging
import math
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import parse_qsl

from realmaster_live.errors import ConfigError, ConnectError, RecordingError, SensorMismatch
from realmaster_live.frames.chunk import Frame
from realmaster_live.frames.source_info import SourceInfo
from realmaster_live.replay.footage import FOV_DEG, Footage, Reading, info_of
from realmaster_live.replay.log_actors import find_replayed, logged_ego, read_actors

log = logging.getLogger(__name__)

CAMERA = "front"
FPS = 20.0
SIZE = (512, 288)
LABELS = ("depth", "semantic", "instance")
TIMEOUT_S = 20.0  # a server may load another map first
POLL_S = 0.1
KEYS = ("host", "port", "start", "seconds", "ego", "fov_deg")
DURATION = re.compile(r"^Duration: ([\d.eE+-]+) seconds", re.MULTILINE)
MAP = re.compile(r"^Map: (\S+)", re.MULTILINE)


def describe_log(text: str, reading: Reading) -> Footage:
    """Return what a server reports of a log.

    Args:
        text: its path on the server, and perhaps "?host=..&port=..&start=..&seconds=..&ego=..".
        reading: the server where `text` names none; size, labels and rate of the cameras.

    Raises:
        ConfigError: an option is none. ConnectError: no server answers.
        RecordingError: the server has no such log. SensorMismatch: nobody in it is the ego.
    """
    path, _, query = text.partition("?")
    options = _options(query, reading)
    client = _client(options)
    info = str(client.show_recorder_file_info(path, False))
    duration = DURATION.search(info)
    if duration is None:
        raise RecordingError(
            f"expected a recorder log {path} on the server at {options['host']}:{options['port']}, "
            f"got {(info.strip().splitlines() or ['nothing'])[-1]!r}: give its path on the server"
        )
    start, fps = options["start"], reading.fps or FPS
    seconds = min(options["seconds"] or math.inf, float(duration[1]) - start)
    if seconds <= 0:
        raise ConfigError(
            f"expected a start within the {float(duration[1]):g} s of {path}, got {start:g}: give "
            "an earlier one"
        )
    ego = logged_ego(read_actors(info), options["ego"], start)
    if ego.destroyed_s is not None:
        seconds = min(seconds, ego.destroyed_s - start)
    map_name = found[1] if (found := MAP.search(info)) else ""
    labels = LABELS if reading.labels is None else reading.labels
    decides = repr((path, info, start, seconds, options["ego"], options["fov_deg"], labels))
    name = PurePosixPath(path).stem
    return Footage(
        kind="carla-log",
        name=name,
        path=path,
        cameras={CAMERA: reading.size or SIZE},
        fps=fps,
        frames=max(1, math.ceil(seconds * fps - 1e-6)),
        sha256=hashlib.sha256(decides.encode()).hexdigest(),
        origin={"route": name, "map": map_name, "log": path},
        options={**options, "seconds": seconds, "labels": list(labels)},
    )


class CarlaLog:
    """A source of the frames of a log, which the server replays from one tick of ours to the next.

    The first frame shows the log at its start, each further one a step later. Nothing is recorded
    of the server's own; what the replay put into the world goes with `close`.
    """

    def __init__(self, footage: Footage) -> None:
        self._footage = footage
        self._bridge: Any = None
        self._client: Any = None
        self._seen: SourceInfo | None = None
        self._closed = False

    @property
    def info(self) -> SourceInfo:
        """What is known of the log and, once it is replayed, of the world."""
        origin = info_of(self._footage)
        if self._bridge is not None:
            self._seen = self._bridge.info
        if self._seen is None:
            return origin
        details = {**self._seen.details, **origin.details}
        return replace(self._seen, route=origin.route, details=details)

    def frames(self) -> Iterator[Frame]:
        """Yield the frames until the log ends.

        Raises:
            ConnectError: the server does not answer. RecordingError: it does not replay the log.
            SensorMismatch: nobody in the log is the ego, or the server does not bring it.
        """
        self._start()
        for number, frame in enumerate(self._bridge.frames(), start=1):
            if number == 1:
                self._speed(1.0)
            yield frame
            if self._closed or number == self._footage.frames:
                return

    def close(self) -> None:
        """Take the cameras away and end the replay; may be called twice."""
        self._closed = True
        if self._bridge is not None:
            self._seen = self._bridge.info
        bridge, self._bridge = self._bridge, None
        client, self._client = self._client, None
        if bridge is not None:
            bridge.close()
        if client is not None:
            client.stop_replayer(False)
            client.set_replayer_time_factor(1.0)
            client.get_server_version()  # an answer means that the two before it were heard

    def _start(self) -> None:
        """Have the server show the log's first moment, and attach to it while it stands still."""
        from realmaster_live.bridges.carla.bridge import CarlaBridge

        footage, options = self._footage, self._footage.options
        self._client = client = _client(options)
        self._speed(0.0)
        world, actors = _actors(client)
        before = world.id, {actor.id: str(actor.type_id) for actor in actors}
        reply = str(client.replay_file(footage.path, options["start"], 0.0, 0, False))
        if "Replaying from" not in reply:
            raise RecordingError(
                f"expected the server to replay {footage.path}, got "
                f"{(reply.strip().splitlines() or ['nothing'])[-1]!r}: give its path on the server"
            )
        ego = self._wait_for_ego(*before)
        width, height = footage.cameras[CAMERA]
        self._bridge = CarlaBridge(
            options["host"],
            options["port"],
            ego=ego.id,
            width=width,
            height=height,
            fov_deg=options["fov_deg"],
            labels=options["labels"],
            fixed_delta_s=1.0 / footage.fps,
            timeout_s=TIMEOUT_S,
            name=CAMERA,
        )

    def _wait_for_ego(self, world_id: int, before: Mapping[int, str]) -> Any:
        """Return the actor that plays the log's ego, which may follow on the loading of its map.

        Args:
            world_id: of the episode before the replay.
            before: id -> type of the vehicles and walkers that were in it.
        """
        footage, options = self._footage, self._footage.options
        info = str(self._client.show_recorder_file_info(footage.path, False))
        start = options["start"]
        logged = [actor for actor in read_actors(info) if actor.exists(start)]
        wanted = logged_ego(logged, options["ego"], start)
        deadline = time.monotonic() + TIMEOUT_S
        while True:
            error: RuntimeError | None = None
            try:
                world, actors = _actors(self._client)
            except RuntimeError as failed:  # the server is loading the log's map
                error = failed
            else:
                others = before if world.id == world_id else {}
                ego = find_replayed(wanted, logged, before=others, actors=actors)
                if ego is not None:
                    _warn_of_others(footage.path, others, {one.id for one in logged})
                    return ego
            if time.monotonic() > deadline:
                break
            time.sleep(POLL_S)
        if error is not None:
            raise ConnectError(
                f"expected a world in which the log is replayed, got {error}: see what the "
                "server reports"
            ) from error
        raise SensorMismatch(
            f"expected the server to bring {wanted} of {footage.path} into its world, got none "
            f"within {TIMEOUT_S:g} s: see that the server knows this blueprint and that nothing "
            "stands where it starts"
        )

    def _speed(self, factor: float) -> None:
        self._client.set_replayer_time_factor(factor)
        self._client.get_server_version()  # the call before it has no answer of its own


def _actors(client: Any) -> tuple[Any, list[Any]]:
    """Return the loaded world and its vehicles and walkers, as of a tick from now."""
    world = client.get_world()
    if world.get_settings().synchronous_mode:
        world.tick()
    else:
        world.wait_for_tick(TIMEOUT_S)
    actors = world.get_actors()
    return world, [*actors.filter("vehicle.*"), *actors.filter("walker.pedestrian.*")]


def _warn_of_others(path: str, before: Mapping[int, str], recorded: set[int]) -> None:
    unlogged = len(before.keys() - recorded)
    if unlogged:
        log.warning(
            "%d vehicles and walkers that are not in %s are in this world and in the pictures: "
            "replay in a world without traffic to have the log's alone",
            unlogged,
            path,
        )


def _client(options: Mapping[str, Any]) -> Any:
    from realmaster_live.bridges.carla.connection import connect

    _, client, _ = connect(options["host"], options["port"], TIMEOUT_S)
    return client


def _options(query: str, reading: Reading) -> dict[str, Any]:
    given = dict(parse_qsl(query))
    unknown = sorted(given.keys() - set(KEYS))
    if unknown:
        raise ConfigError(
            f"expected options of a log among {', '.join(KEYS)}, got {unknown[0]!r}: leave it out"
        )
    host, port = reading.server or ("127.0.0.1", 2000)
    ego = given.get("ego")
    try:
        return {
            "host": given.get("host", host),
            "port": int(given.get("port", port)),
            "start": max(0.0, float(given.get("start", 0.0))),
            "seconds": max(0.0, float(given.get("seconds", 0.0))),
            "ego": int(ego) if ego is not None and ego.isdecimal() else ego,
            "fov_deg": float(given.get("fov_deg", FOV_DEG)),
        }
    except ValueError as error:
        raise ConfigError(f"expected numbers in {query!r}, got {error}: mend it") from error
