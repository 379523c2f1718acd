"""Photoreal cameras in a program that knows nothing of them: carla's own classes, patched.

`realmaster inject` starts the program with `injected/` first on its PYTHONPATH, whose
`sitecustomize` calls `install` in every Python process that imports carla.
"""

from __future__ import annotations

import atexit
import json
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from realmaster_live.bridges.carla.ego import role_of
from realmaster_live.bridges.carla.realized_camera import (
    RealizedCamera,
    picture_format,
    tick_in_lockstep,
)
from realmaster_live.errors import ConfigError
from realmaster_live.feeds.choice import PICTURE_SENSOR, CameraChoice, picture_size
from realmaster_live.feeds.realizing import Realizing

log = logging.getLogger(__name__)
VARIABLE = "REALMASTER_INJECT"  # of the environment, JSON
_Key = tuple[int, int]  # of the world, which each server draws at random, and of the actor
HOOK = Path(__file__).with_name("injected")  # holds only the sitecustomize


def environment(realizing: Realizing, inherited: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a program whose cameras are to be realized."""
    paths = [str(HOOK), *filter(None, [inherited.get("PYTHONPATH")])]
    return {
        **inherited,
        "PYTHONPATH": os.pathsep.join(paths),
        VARIABLE: json.dumps(asdict(realizing), default=str),
    }


def install(carla: Any, environ: Mapping[str, str]) -> None:
    """Patch the carla module of this process, as the environment says."""
    Injection(carla, read_realizing(environ[VARIABLE])).patch()


def read_realizing(text: str) -> Realizing:
    """Return the options of the environment variable; raise ConfigError for other texts."""
    try:
        values = json.loads(text)
        cameras = values.pop("cameras")
        choice = CameraChoice(
            roles=tuple(cameras["roles"]),
            sizes=tuple((int(w), int(h)) for w, h in cameras["sizes"]),
            count=cameras["count"],
        )
        assert set(values) | {"cameras"} == {one.name for one in fields(Realizing)}
        size, record = values.pop("size"), values.pop("record")
        return Realizing(
            size=None if size is None else (int(size[0]), int(size[1])),
            record=None if record is None else Path(record),
            cameras=choice,
            **values,
        )
    except (AssertionError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise ConfigError(
            f"expected options of `realmaster inject` in {VARIABLE}, got {text[:80]!r} "
            f"({error!r}): start the program with that command"
        ) from error


def _key_of(actor: Any) -> _Key:
    """Return what tells an actor from those of other servers, which have the same numbers."""
    return int(actor.get_world().id), int(actor.id)


class _Unpatched:
    """A carla sensor with the methods that its class had before it was patched."""

    def __init__(self, sensor: Any, methods: Mapping[str, Callable[..., Any]]) -> None:
        self._sensor, self._methods = sensor, methods

    def __getattr__(self, name: str) -> Any:
        method = self._methods.get(name)
        return getattr(self._sensor, name) if method is None else method.__get__(self._sensor)


class Injection:
    """Lets the rgb cameras of one process deliver photoreal images.

    Args:
        carla: the imported client.
        realizing: which cameras, and how.
    """

    def __init__(self, carla: Any, realizing: Realizing) -> None:
        self._carla, self._realizing = carla, realizing
        self._engines = realizing.engines()
        self._cameras: dict[_Key, RealizedCamera] = {}
        self._folders: set[str] = set()  # names of those that recordings were begun in
        self._own = {
            "listen": carla.Sensor.listen,
            "stop": carla.Sensor.stop,
            "destroy": carla.Actor.destroy,
        }
        self._tick = carla.World.tick
        self._batches = {
            name: getattr(carla.Client, name) for name in ("apply_batch", "apply_batch_sync")
        }

    def patch(self) -> None:
        """Put our methods in place of carla's."""
        injection, own = self, self._own

        def listen(sensor: Any, callback: Callable[[Any], None]) -> None:
            """Listen as carla does; images of chosen rgb cameras arrive photoreal."""
            camera = injection.camera(sensor)
            (own["listen"].__get__(sensor) if camera is None else camera.listen)(callback)

        def stop(sensor: Any) -> None:
            """Stop as carla does."""
            camera = injection._cameras.get(_key_of(sensor))
            (own["stop"].__get__(sensor) if camera is None else camera.stop)()

        def destroy(actor: Any) -> bool:
            """Destroy as carla does."""
            camera = injection._cameras.pop(_key_of(actor), None)
            if camera is None:
                return bool(own["destroy"].__get__(actor)())
            return injection._destroy(actor.id, camera)

        def tick(world: Any, seconds: float = 10.0) -> int:
            """Tick through a whole chunk of the cameras in this world."""
            of_world = [one for (id_, _), one in injection._cameras.items() if id_ == world.id]
            return tick_in_lockstep(lambda: injection._tick(world, seconds), of_world)

        def batch(name: str) -> Callable[..., Any]:
            def apply(client: Any, commands: Sequence[Any], *arguments: Any, **named: Any) -> Any:
                """Apply as carla does; cameras that are destroyed need no engine any more."""
                injection._leave_destroyed(client, commands)
                return injection._batches[name](client, commands, *arguments, **named)

            return apply

        self._carla.Sensor.listen, self._carla.Sensor.stop = listen, stop
        self._carla.Actor.destroy = destroy
        for name in self._batches:
            setattr(self._carla.Client, name, batch(name))
        if self._realizing.policy == "lockstep":
            self._carla.World.tick = tick
        atexit.register(self.close)

    def camera(self, sensor: Any) -> RealizedCamera | None:
        """Return what realizes a sensor; None for one that is not chosen."""
        key = _key_of(sensor)
        if key in self._cameras:
            return self._cameras[key]
        if sensor.type_id != PICTURE_SENSOR:
            return None
        choice = self._realizing.cameras
        if not choice.fits(sensor.type_id, sensor.attributes):
            size, role = picture_size(sensor.attributes), role_of(sensor) or "no role"
            about = f"{sensor.id} ({role}, {size[0]}x{size[1]})"
            log.warning("camera %s stays as drawn: it is not chosen", about)
            return None
        self._leave_dead()
        if not choice.has_room(len(self._cameras)):
            log.warning("camera %d stays as drawn: %d are realized", sensor.id, choice.count)
            return None
        unpatched = _Unpatched(sensor, self._own)
        width, height, fps = picture_format(unpatched)
        engine = self._engines.engine_for(*self._realizing.size_for(width, height), fps)
        self._cameras[key] = RealizedCamera(
            unpatched,
            engine,
            policy=self._realizing.policy,
            record=self._folder_for(sensor),
            on_destroy=lambda: self._engines.release(engine),
        )
        return self._cameras[key]

    def _folder_for(self, sensor: Any) -> Path | None:
        """Return the folder of a camera's recording, which is no other camera's."""
        if self._realizing.record is None:
            return None
        name = base = f"{role_of(sensor) or 'camera'}-{sensor.id}"
        count = 1
        while name in self._folders:  # the same number on another server
            count += 1
            name = f"{base}-{count}"
        self._folders.add(name)
        return self._realizing.record / name

    def close(self) -> None:
        """Stop all cameras, and say what each delivered."""
        for key in list(self._cameras):
            self._leave(key)
        self._engines.close()

    def _leave(self, key: _Key) -> None:
        """Stop realizing a camera, and say what it delivered."""
        camera = self._cameras.pop(key)
        try:
            camera.close()
        except Exception:
            log.exception("camera %d could not be stopped", key[1])
        log.warning("camera %d: %s", key[1], camera.figures)

    def _leave_dead(self) -> None:
        """Leave cameras that another world has taken the place of."""
        for key in [key for key, one in self._cameras.items() if not one.camera.is_alive]:
            self._leave(key)

    def _leave_destroyed(self, client: Any, commands: Sequence[Any]) -> None:
        """Leave cameras that commands of a batch destroy."""
        kind = self._carla.command.DestroyActor
        numbers = {one.actor_id for one in commands if isinstance(one, kind)}
        if numbers & {number for _, number in self._cameras}:
            world = int(client.get_world().id)
            for number in numbers:
                if (world, number) in self._cameras:
                    self._leave((world, number))

    def _destroy(self, number: int, camera: RealizedCamera) -> bool:
        """Destroy a camera, and say what it delivered."""
        destroyed = camera.destroy()
        log.warning("camera %d: %s", number, camera.figures)
        return destroyed
