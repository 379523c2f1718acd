"""A client attached to a running CARLA server, which undoes all that it did there."""

from __future__ import annotations

import logging
import threading
import time
import weakref
from collections.abc import Callable, Mapping
from typing import Any

from realmaster_live.bridges.carla.connection import Lifeline, connect, open_world
from realmaster_live.bridges.frame_join import BridgeClosed
from realmaster_live.errors import BridgeError
from realmaster_live.system.termination import deferred_signals

log = logging.getLogger(__name__)

UNDO_TIMEOUT_S = 3.0
RELEASE_TIMEOUT_S = 0.5


class CarlaSession:
    """All that we changed in a server that belongs to somebody else.

    Never loads a map. `close` stops and destroys what was listened to and spawned here, and puts
    back each changed setting that still has the value we gave it.
    """

    def __init__(self, host: str, port: int, timeout_s: float) -> None:
        self.host, self.port, self.timeout_s = host, port, timeout_s
        self.carla, self.client, self.versions = connect(host, port, timeout_s)
        self.world = open_world(self.client, host, port, timeout_s)
        self._lifeline = Lifeline(host, port)
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
            if str(error).startswith("expected "):  # the embedded town's own sentence
                raise BridgeError(str(error)) from error
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
        """Return whether the server still holds a connection; costs microseconds while it does."""
        return self._lifeline.is_up()

    def answers(self, within_s: float) -> bool:
        """Return whether the server answers a call in time."""
        return self._succeeds(self.client.get_server_version, within_s)

    def has(self, actor: Any, within_s: float) -> bool | None:
        """Return whether the server has an actor now; None where it does not tell in time.

        The client itself sees the world as of the last tick, so the server is asked for something
        that every actor has. The spectator, which every world has, shows whether it answers that.
        """
        began = time.monotonic()
        if self._succeeds(actor.get_component_names, within_s):
            return True
        if time.monotonic() - began >= within_s:
            return None
        spectator = self.world.get_spectator
        answers = self._succeeds(lambda: spectator().get_component_names(), within_s)
        return False if answers else None

    def _succeeds(self, call: Callable[[], Any], within_s: float) -> bool:
        self.client.set_timeout(within_s)
        try:
            call()
        except RuntimeError:
            return False
        finally:
            self.client.set_timeout(self.timeout_s)
        return True

    def detach(self) -> None:
        """Take away what was spawned, and go on in the episode that is loaded now."""
        with self._lock:
            self._check_open()
            self._silence()
            reloaded = self.was_reloaded()  # then our sensors went with the old episode
            if not reloaded:
                self._destroy()
            self._spawned.clear()
            if reloaded:
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
            self._lifeline.close()

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
        deadline = time.monotonic() + RELEASE_TIMEOUT_S
        while any(ref() is not None for ref in self._callbacks) and time.monotonic() < deadline:
            time.sleep(0.002)
        self._callbacks.clear()

    def _destroy(self) -> None:
        while self._spawned:
            actor = self._spawned.pop()
            actor.destroy()  # False for one that is gone already

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
