"""The embedded simulator as a process of its own, and real carla clients for it."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from street import SIZE, make_chunk

from realmaster_live import ChunkSpec

READY = re.compile(r"ready on ([\w.]+):(\d+)")

# A shell that runs pytest in the background, or under nohup, has them ignored, and so would every
# process that a test starts.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

# Rooms whose tests share something that takes long to make: one process runs all of theirs.
SHARING = ("engines", "datasets", "fidelity", "training/distillation", "training/iclora")
LONG = {"soak": 4 * 3600, "slow": 900}  # seconds that a test of a marker may take


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep tests that share a costly fixture in one process, and give long ones their time."""
    root = Path(__file__).parent
    for item in items:
        path = item.path.relative_to(root).as_posix()
        room = next((room for room in SHARING if path.startswith(f"{room}/")), path)
        item.add_marker(pytest.mark.xdist_group(room))
        for marker, limit_s in LONG.items():
            if item.get_closest_marker(marker) and not item.get_closest_marker("timeout"):
                item.add_marker(pytest.mark.timeout(limit_s))


@dataclass(frozen=True)
class MinitownServer:
    host: str
    port: int
    process: subprocess.Popen

    def client(self):
        """Return a fresh carla.Client; eight workers, as one waits for the other in callbacks."""
        carla = pytest.importorskip("carla")
        client = carla.Client(self.host, self.port, 8)
        client.set_timeout(10.0)
        return client


@contextlib.contextmanager
def running_minitown(*options: str, port: int = 0) -> Iterator[MinitownServer]:
    """Run a server, on a free port unless one is given."""
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "realmaster_live", "minitown"),
            *("--port", str(port), "--exit-with-parent", str(os.getpid()), *options),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    lines: list[str] = []
    reader = threading.Thread(target=lines.extend, args=(process.stderr,), daemon=True)
    reader.start()
    try:
        line = process.stdout.readline()
        found = READY.search(line)
        assert found, f"no ready line but {line!r}, {lines}"
        yield MinitownServer(found[1], int(found[2]), process)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        reader.join(5)
        process.stdout.close()
        process.stderr.close()


@pytest.fixture(scope="session")
def minitown() -> Iterator[MinitownServer]:
    """Town 7 with its pictures drawn."""
    with running_minitown("--seed", "7") as server:
        yield server


@pytest.fixture(scope="session")
def blank_minitown() -> Iterator[MinitownServer]:
    """Town 7 that sends a fixed picture: quicker where only the protocol counts."""
    with running_minitown("--seed", "7", "--no-raster") as server:
        yield server


@pytest.fixture(scope="session")
def running():
    """The function that runs a server with options of the test's own."""
    return running_minitown


def restored(server: MinitownServer) -> Iterator:
    """Yield a client, and leave the world as it was: its settings, weather and actors."""
    client = server.client()
    world = client.get_world()
    before = {actor.id for actor in _actors(world)}
    settings, weather = world.get_settings(), world.get_weather()
    yield client
    world = client.get_world()
    extra = [actor for actor in _actors(world) if actor.id not in before]
    for actor in extra:
        if actor.type_id.startswith("sensor.") and actor.is_listening():
            actor.stop()
    _destroy(client, extra)
    world.set_weather(weather)
    world.apply_settings(settings)
    time.sleep(0.3)  # the client's threads end after stop()


def _actors(world) -> Sequence:
    if world.get_settings().synchronous_mode:
        world.tick()
    else:
        world.wait_for_tick(5.0)
    return list(world.get_actors())


def _destroy(client, actors: Sequence) -> None:
    import carla

    client.apply_batch_sync([carla.command.DestroyActor(actor.id) for actor in actors], False)


@pytest.fixture
def carla_client(minitown):
    """A client of the drawn town that cleans up after itself."""
    yield from restored(minitown)


@pytest.fixture
def blank_client(blank_minitown):
    """A client of the undrawn town that cleans up after itself."""
    yield from restored(blank_minitown)


@pytest.fixture
def spec():
    return ChunkSpec(frames=4, height=SIZE[1], width=SIZE[0], fps=20)


@pytest.fixture
def chunk_at():
    return make_chunk
