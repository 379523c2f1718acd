"""A client attached to a running CARLA server, and the undoing of all that it did there."""

from __future__ import annotations

import logging
import re
import socket
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from realmaster_live.bridges.exit_guard import deferred_signals
from realmaster_live.bridges.frame_join import BridgeClosed
from realmaster_live.errors import BridgeError, ConnectError
from realmaster_live.optional import require

log = logging.getLogger(__name__)

# The client's default is one thread a core. Its callbacks hold those threads while they wait for
# the GIL; on two cores four listening cameras then starve the calls that tick.
WORKER_THREADS = 8
UNDO_TIMEOUT_S = 3.0
PROBE_TIMEOUT_S = 1.0
LET_GO_S = 0.5


@dataclass(frozen=True, kw_only=True)
class Versions:
    """What the two sides call themselves."""

    client: str
    server: str


def connect(host: str, port: int, timeout_s: float) -> tuple[Any, Any, Versions]:
    """Return the carla module, a client and both versions; raise ConnectError.

    The version is asked for before anything else: a client of another release misreads the
    server's messages and crashes the process.
    """
    carla = require("carla", extra="carla")
    try:
        socket.create_connection((host, port), timeout_s).close()
    except OSError as error:
        raise ConnectError(
            f"expected a CARLA server at {host}:{port} within {timeout_s:g} s, got {error}: start "
            "CarlaUE4.sh, or `realmaster minitown`, or give its host and port"
        ) from error
    client = carla.Client(host, port, WORKER_THREADS)
    client.set_timeout(timeout_s)
    try:
        versions = Versions(client=client.get_client_version(), server=client.get_server_version())
    except RuntimeError as error:
        raise ConnectError(
            f"expected a CARLA server at {host}:{port}, got no answer to `version` within "
            f"{timeout_s:g} s ({error}): see that the port is CARLA's RPC port"
        ) from error
    check_versions(versions)
    return carla, client, versions


def check_versions(versions: Versions) -> None:
    """Raise ConnectError unless both sides are of one release; builds of one release may differ."""
    client, server = _release(versions.client), _release(versions.server)
    if client != server:
        remedy = f"pip install carla=={server}" if server else "install the server's own client"
        raise ConnectError(
            f"expected a CARLA server of the client's version {versions.client}, got "
            f"{versions.server}: {remedy}, or start the matching server"
        )
    if versions.client != versions.server:
        log.warning("client %s and server %s are different builds", *vars(versions).values())


def _release(version: str) -> str | None:
    found = re.match(r"\d+\.\d+\.\d+", version)
    return found.group() if found else None


class CarlaSession:
    """What we did to a server that belongs to somebody else.

    Never loads a map. `close` stops and destroys what was listened to and spawned here, and puts
    back each changed setting that still has the value we gave it.
    """

    def __init__(self, host: str, port: int, timeout_s: float) -> None:
        self.host, self.port, self.timeout_s = host, port, timeout_s
        self.carla, self.client, self.versions = connect(host, port, timeout_s)
        try:
            self.world = self.client.get_world()
        except RuntimeError as error:
            raise ConnectError(
                f"expected a world at {host}:{port}, got {error}: wait until the map is loaded"
            ) from error
        self.episode_id = self.world.id
        self._listening: list[Any] = []
        self._watching: list[int] = []
        self._callbacks: list[weakref.ref[Callable[[Any], None]]] = []
        self._spawned: list[Any] = []
        self._changed: dict[str, tuple[Any, Any]] = {}  # field -> (before, ours)
        self._closed = False
        self._lock = threading.RLock()  # one thread may attach while another closes

    def change_settings(self, **wanted: Any) -> None:
        """Change these fields of the world's settings, where they differ."""
        with self._lock:
            self._check_open()
            self._change_settings(wanted)

    def _change_settings(self, wanted: Mapping[str, Any]) -> None:
        settings = self.world.get_settings()
        before = {name: getattr(settings, name) for name in wanted}
        changed = {name: (before[name], wanted[name]) for name in wanted}
        changed = {name: pair for name, pair in changed.items() if pair[0] != pair[1]}
        if not changed:
            return
        self._changed.update(changed)  # noted first: an interrupted call may have taken effect
        for name, (_, ours) in changed.items():
            setattr(settings, name, ours)
        self.world.apply_settings(settings, self.timeout_s)

    def spawn(self, blueprint: Any, transform: Any, parent: Any) -> Any:
        """Return a new actor, rigidly attached to `parent`, that `close` destroys."""
        try:
            with self._lock, deferred_signals():  # no signal between spawning and noting it
                self._check_open()
                actor = self.world.spawn_actor(blueprint, transform, attach_to=parent)
                self._spawned.append(actor)
        except RuntimeError as error:
            raise BridgeError(
                f"expected to spawn {blueprint.id} on actor {parent.id}, got {error}: see that the "
                "actor is still alive"
            ) from error
        return actor

    def listen(self, sensor: Any, callback: Callable[[Any], None]) -> None:
        """Subscribe to a sensor; `close` unsubscribes."""
        with self._lock:
            self._check_open()
            self._listening.append(sensor)
            self._callbacks.append(weakref.ref(callback))
            sensor.listen(callback)

    def watch(self, callback: Callable[[Any], None]) -> None:
        """Call back with each tick's snapshot; `close` ends it."""
        with self._lock:
            self._check_open()
            self._callbacks.append(weakref.ref(callback))
            self._watching.append(self.world.on_tick(callback))

    def was_reloaded(self) -> bool:
        """Return whether somebody loaded another episode since we attached."""
        return bool(self.world.get_snapshot().id != self.episode_id)

    def is_reachable(self) -> bool:
        """Return whether the server's port still accepts connections."""
        try:
            socket.create_connection((self.host, self.port), PROBE_TIMEOUT_S).close()
        except OSError:
            return False
        return True

    def follow_reload(self) -> None:
        """Go on in the episode that is loaded now; our sensors went with the old one."""
        with self._lock:
            self._check_open()
            self._silence()
            self._spawned.clear()
            self.world = self.client.get_world()
            self.episode_id = self.world.id

    def close(self) -> None:
        """Undo everything; may be called twice and from any thread."""
        with self._lock:
            self._closed = True
            self._silence()
            if self._spawned or self._changed:
                self._undo()
            self._await_release()

    def _undo(self) -> None:
        if not self.is_reachable():
            log.warning("the server at %s:%d is gone: nothing to undo", self.host, self.port)
            self._spawned.clear()
            self._changed.clear()
            time.sleep(0.3)  # the client aborts if the process ends right after stop()
            return
        self.client.set_timeout(min(self.timeout_s, UNDO_TIMEOUT_S))
        for undo in (self._destroy, self._restore):
            try:
                undo()
            except RuntimeError as error:
                log.warning("could not undo at %s:%d: %s", self.host, self.port, error)

    def _check_open(self) -> None:
        if self._closed:
            raise BridgeClosed

    def _silence(self) -> None:
        while self._watching:
            self.world.remove_on_tick(self._watching.pop())
        while self._listening:
            sensor = self._listening.pop()
            try:
                if sensor.is_alive and sensor.is_listening():
                    sensor.stop()
            except RuntimeError as error:
                log.debug("stop of sensor %d: %s", sensor.id, error)

    def _await_release(self) -> None:
        """Wait until the client's threads have let go of our callbacks.

        They do so a moment after the end of a subscription and need the interpreter for it; the
        process aborts if it ends meanwhile.
        """
        deadline = time.monotonic() + LET_GO_S
        while any(ref() is not None for ref in self._callbacks) and time.monotonic() < deadline:
            time.sleep(0.002)
        self._callbacks.clear()

    def _destroy(self) -> None:
        while self._spawned:
            actor = self._spawned.pop()
            actor.destroy()  # False where the episode has already taken it along

    def _restore(self) -> None:
        changed, self._changed = self._changed, {}
        if not changed:
            return
        world = self.client.get_world()  # the old object may belong to an earlier episode
        settings = world.get_settings()
        ours = {n: before for n, (before, mine) in changed.items() if getattr(settings, n) == mine}
        for name, before in ours.items():
            setattr(settings, name, before)
        if ours:
            world.apply_settings(settings, UNDO_TIMEOUT_S)
