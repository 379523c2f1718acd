"""A world with an owner, to attach to: a plain carla client with a vehicle in minitown."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import carla
import pytest
from settled import settle
from waiting import until

# In a process of its own: libcarla has crashed where one client of a process waited for a tick
# while another loaded a world.
LOADER = """
import sys, carla
host, port, call, *names = sys.argv[1:]
client = carla.Client(host, int(port), 1)
client.set_timeout(30.0)
getattr(client, call)(*names)
"""
JOIN_S = 60.0  # longer than any timeout that the tests give a client


class Owner:
    """Whoever owns the world that a bridge attaches to: a plain carla client with a vehicle."""

    def __init__(self, town) -> None:
        self.carla = carla
        self.town, self.host, self.port = town, town.host, town.port
        self.client = town.client()
        self.world = self.client.get_world()
        self._free = iter(self.world.get_map().get_spawn_points())
        self._spawned: list = []
        self._original = self.world.get_settings()
        self.hero = self.spawn_vehicle("hero")

    def spawn_vehicle(self, role_name: str):
        blueprint = self.world.get_blueprint_library().filter("vehicle.*")[0]
        blueprint.set_attribute("role_name", role_name)
        for place in self._free:
            vehicle = self.world.try_spawn_actor(blueprint, place)
            if vehicle is not None:
                return self.adopt(vehicle)
        raise LookupError("no free spawn point")

    def respawn(self, role_name: str):
        """Spawn another vehicle where the world may be ticked by somebody who waits for it."""
        blueprint = self.world.get_blueprint_library().filter("vehicle.*")[0]
        blueprint.set_attribute("role_name", role_name)
        vehicle = next(
            one for place in self._free if (one := self.world.try_spawn_actor(blueprint, place))
        )
        self._spawned.append(vehicle)
        return vehicle

    def adopt(self, actor):
        """Destroy this actor too in the end, and wait until everybody sees it."""
        self._spawned.append(actor)
        self.wait_until(lambda: self.world.get_snapshot().find(actor.id) is not None)
        return actor

    def spawn_camera(self, place=None, *, parent="hero", **attributes):
        blueprint = self.world.get_blueprint_library().find("sensor.camera.rgb")
        for name, value in attributes.items():
            blueprint.set_attribute(name, str(value))
        place = place or carla.Transform(carla.Location(1.0, 0.0, 2.0))
        parent = self.hero if parent == "hero" else None
        return self.adopt(self.world.spawn_actor(blueprint, place, attach_to=parent))

    def load_elsewhere(self, call: str = "load_world") -> None:
        """Have a client in a process of its own load the same map again."""
        name = self.world.get_map().name if call == "load_world" else ""
        arguments = [self.host, str(self.port), call, *([name] if name else [])]
        subprocess.run([sys.executable, "-c", LOADER, *arguments], check=True, timeout=60)
        self.world = self.client.get_world()
        self.forget()

    def forget(self) -> None:
        """Forget what was spawned: somebody loaded another world."""
        self._spawned.clear()
        self._free = iter(self.world.get_map().get_spawn_points())

    def state(self) -> tuple:
        """Return what a bridge must leave behind: settings, and which actors there are."""
        settle(self.world)
        settings = self.world.get_settings()
        names = [n for n in dir(settings) if not n.startswith("_")]
        values = {n: getattr(settings, n) for n in names}
        actors = sorted(actor.id for actor in self.world.get_actors())
        return self.world.get_snapshot().id, values, actors

    def finish_calls(self) -> None:
        """Wait until the server has done what this client asked for and did not wait for.

        Most calls that change an actor return before they are sent. A call with an answer comes
        after them on the same connection; the ticks of other clients do not.
        """
        self.client.get_server_version()

    def put(self, actor, place: carla.Transform) -> None:
        """Move an actor before anything else happens."""
        actor.set_transform(place)
        self.finish_calls()

    def steer(self, **control) -> None:
        """Have the vehicle's controls in force before anything else happens."""
        self.hero.apply_control(carla.VehicleControl(**control))
        self.finish_calls()

    def sensors(self, kind: str = "*") -> list:
        """Return the sensors that there are as this client has heard of them so far."""
        return list(self.world.get_actors().filter(f"sensor.{kind}"))

    def wait_until(self, condition: Callable[[], bool]) -> None:
        until(condition)

    @contextmanager
    def in_the_open(self) -> Iterator[None]:
        """Have the vehicle stand where nothing is built 10 m beside it and 14 m before it."""
        home = self.hero.get_transform()
        self._place_hero(self.world.get_map().get_spawn_points()[27])
        try:
            yield
        finally:
            self._place_hero(home)

    def _place_hero(self, place) -> None:
        self.hero.set_transform(place)
        self.wait_until(lambda: self.hero.get_location().distance(place.location) < 1.0)

    @contextmanager
    def synchronous(self, fixed_delta_s: float = 0.05) -> Iterator[None]:
        """Make the world synchronous, as an owner who ticks it himself would."""
        settings = self.world.get_settings()
        settings.synchronous_mode, settings.fixed_delta_seconds = True, fixed_delta_s
        self.world.apply_settings(settings)
        try:
            yield
        finally:
            settings.synchronous_mode, settings.fixed_delta_seconds = False, None
            self.world.apply_settings(settings)

    @contextmanager
    def ticking(self, rate_hz: float = 40.0) -> Iterator[None]:
        """Tick from another thread meanwhile."""
        stopped = threading.Event()

        def work() -> None:
            while not stopped.wait(1.0 / rate_hz):
                self.world.tick(30.0)

        thread = threading.Thread(target=work)
        thread.start()
        try:
            yield
        finally:
            stopped.set()
            thread.join(60)

    def close(self) -> None:
        self.world = self.client.get_world()
        for actor in reversed(self._spawned):
            if actor.is_alive:
                actor.destroy()
        self.world.apply_settings(self._original)


@pytest.fixture
def owner(blank_minitown) -> Iterator[Owner]:
    """An owner in the shared town that sends fixed pictures."""
    owner = Owner(blank_minitown)
    yield owner
    owner.close()


@pytest.fixture(scope="module")
def drawn_owner(minitown) -> Iterator[Owner]:
    """An owner in the shared town that is drawn."""
    owner = Owner(minitown)
    yield owner
    owner.close()


class DoomedTown:
    """A server of one's own, to kill."""

    def __init__(self) -> None:
        program = (sys.executable, "-u", "-m", "realmaster_live", "minitown")
        lifetime = ("--exit-with-parent", str(os.getpid()))
        command = [*program, "--port", "0", "--no-raster", *lifetime]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        ready = self.process.stdout.readline()  # minitown ready on HOST:PORT (...
        self.host, port = ready.split()[3].split(":")
        self.port = int(port)

    def client(self) -> carla.Client:
        client = carla.Client(self.host, self.port, 8)
        client.set_timeout(30.0)
        return client

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


@pytest.fixture
def doomed() -> Iterator[Owner]:
    """An owner in a town whose server the test kills."""
    town = DoomedTown()
    try:
        yield Owner(town)
    finally:
        town.kill()
        for thread in threading.enumerate():
            if thread.name == "rm-carla-tick":  # given up; libcarla would fall over another client
                thread.join(JOIN_S)
