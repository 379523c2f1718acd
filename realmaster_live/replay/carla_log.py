"""A CARLA recorder log as a source: the server replays it, and our cameras look at it."""

from __future__ import annotations

import hashlib
import math
import re
import time
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import parse_qsl

from realmaster_live.errors import ConfigError, ConnectError, RecordingError
from realmaster_live.frames.chunk import Frame
from realmaster_live.replay.footage import FOV_DEG, Footage, Reading

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
    """Return what a server says of a log.

    Args:
        text: its path on the server, and perhaps "?host=..&port=..&start=..&seconds=..&ego=..".
        reading: the server where `text` names none; size, labels and rate of the cameras.

    Raises:
        ConfigError: an option is none. ConnectError: no server answers.
        RecordingError: the server has no such log.
    """
    path, _, query = text.partition("?")
    options = _options(query, reading)
    client = _client(options)
    said = str(client.show_recorder_file_info(path, False))
    duration = DURATION.search(said)
    if duration is None:
        raise RecordingError(
            f"expected a recorder log {path} on the server at {options['host']}:{options['port']}, "
            f"got {(said.strip().splitlines() or ['nothing'])[-1]!r}: give its path on the server"
        )
    start, fps = options["start"], reading.fps or FPS
    seconds = min(options["seconds"] or math.inf, float(duration[1]) - start)
    if seconds <= 0:
        raise ConfigError(
            f"expected a start within the {float(duration[1]):g} s of {path}, got {start:g}: give "
            "an earlier one"
        )
    map_name = found[1] if (found := MAP.search(said)) else ""
    labels = LABELS if reading.labels is None else reading.labels
    decides = repr((path, said, start, seconds, options["ego"], options["fov_deg"], labels))
    name = PurePosixPath(path).stem
    return Footage(
        kind="carla-log",
        name=name,
        path=path,
        cameras={CAMERA: reading.size or SIZE},
        fps=fps,
        frames=max(1, math.ceil(seconds * fps - 1e-6)),
        sha256=hashlib.sha256(decides.encode()).hexdigest(),
        told={"route": name, "map": map_name, "log": path},
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
        self._closed = False

    def frames(self) -> Iterator[Frame]:
        """Yield the frames until the log ends.

        Raises:
            ConnectError: the server does not answer. RecordingError: it does not replay the log.
            SensorMismatch: nobody in the log has the ego's name.
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
        said = str(client.replay_file(footage.path, options["start"], 0.0, 0, False))
        if "Replaying from" not in said:
            raise RecordingError(
                f"expected the server to replay {footage.path}, got "
                f"{(said.strip().splitlines() or ['nothing'])[-1]!r}: give its path on the server"
            )
        _wait_for_a_vehicle(client)
        width, height = footage.cameras[CAMERA]
        self._bridge = CarlaBridge(
            options["host"],
            options["port"],
            ego=options["ego"],
            width=width,
            height=height,
            fov_deg=options["fov_deg"],
            labels=options["labels"],
            fixed_delta_s=1.0 / footage.fps,
            timeout_s=TIMEOUT_S,
            name=CAMERA,
        )

    def _speed(self, factor: float) -> None:
        self._client.set_replayer_time_factor(factor)
        self._client.get_server_version()  # the call before it has no answer of its own


def _wait_for_a_vehicle(client: Any) -> None:
    """Wait until the replay's vehicles are there, which may follow on the loading of its map."""
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        try:
            world = client.get_world()
            if world.get_settings().synchronous_mode:
                world.tick()
            else:
                world.wait_for_tick(TIMEOUT_S)
            if len(world.get_actors().filter("vehicle.*")):
                return
        except RuntimeError as error:
            if time.monotonic() > deadline:
                raise ConnectError(
                    f"expected a world in which the log is replayed, got {error}: see what the "
                    "server says"
                ) from error
        if time.monotonic() > deadline:
            return  # the bridge says what is there instead
        time.sleep(POLL_S)


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
