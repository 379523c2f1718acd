"""An ego or a port that goes while a verb runs: one sentence, and a recording that is whole."""

import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from settled import actors_of
from waiting import until

from realmaster_live.recording import Recording, verify

carla = pytest.importorskip("carla")
pytestmark = [pytest.mark.carla, pytest.mark.slow]

SIZE = ("--size", "64x48", "--engine", "identity")
RIG = "".join(
    f'[[camera]]\nname = "{name}"\nwidth = 64\nheight = 48\nyaw_deg = {yaw}\nlabels = ["depth"]\n'
    for name, yaw in (("front", 0), ("back", 180), ("left", -90))
)


class Town:
    """A town without traffic, and a client that spawns in it."""

    def __init__(self, server):
        self.server, self.client = server, server.client()
        self.world = self.client.get_world()
        self.points = self.world.get_map().get_spawn_points()

    def spawn(self, kind="vehicle.tesla.model3", role="hero", place=0):
        blueprint = self.world.get_blueprint_library().find(kind)
        blueprint.set_attribute("role_name", role)
        return self.world.spawn_actor(blueprint, self.points[place])

    def verb(self, *words):
        command = [sys.executable, "-m", "realmaster_live", *map(str, words)]
        return subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )


@pytest.fixture
def town(running):
    with running("--no-raster", "--vehicles", "0", "--walkers", "0") as server:
        yield Town(server)


def told(process):
    """What a verb says until it ends."""
    try:
        return process.communicate(timeout=120)[0]
    except subprocess.TimeoutExpired:
        process.kill()
        raise AssertionError(f"it did not end: {process.communicate()[0]}") from None


def has_frames(folder: Path) -> bool:
    return any(path.stat().st_size > 20_000 for path in folder.glob("segments/*/frames.arrows"))


def one_sentence(said: str, *words: str) -> None:
    assert "Traceback" not in said
    errors = [line for line in said.splitlines() if "expected" in line]
    assert len(errors) == 1, said
    assert all(word in errors[0] for word in words), errors


@pytest.mark.parametrize("passive", [False, True])
def test_an_ego_that_is_destroyed_ends_a_recording_that_is_whole(town, tmp_path, passive):
    hero, out = town.spawn(), tmp_path / "drive"
    (tmp_path / "rig.toml").write_text(RIG)
    flags = ["--port", town.server.port, "--timeout", 3, "--engine", "identity"]
    flags += ["--rig", tmp_path / "rig.toml", "--seconds", 300, *(["--passive"] * passive)]
    record = town.verb("record", out, *flags)
    until(lambda: has_frames(out) or record.poll() is not None, "no frame")
    hero.destroy()
    said = told(record)
    assert record.returncode == 1
    one_sentence(said, f"vehicle {hero.id}", "'hero'", "destroyed by another client")
    assert verify(out, decode=True).is_whole
    assert not any(actor.type_id.startswith("sensor.") for actor in actors_of(town.world))


def test_an_ego_that_is_destroyed_ends_an_attach(town):
    hero = town.spawn()
    attach = town.verb("attach", "--port", town.server.port, "--timeout", 3, *SIZE)
    until(lambda: list(town.world.get_actors().filter("sensor.*")), "no camera")
    time.sleep(1.0)
    hero.destroy()
    said = told(attach)
    assert attach.returncode == 1
    one_sentence(said, f"vehicle {hero.id}", "destroyed by another client")


@pytest.mark.parametrize("passive", [False, True])
def test_a_hero_that_is_spawned_again_is_recorded_on(town, tmp_path, passive):
    hero, out = town.spawn(), tmp_path / "drive"
    flags = ["--port", town.server.port, "--timeout", 8, *SIZE, "--seconds", 8]
    record = town.verb("record", out, *flags, *(["--passive"] * passive))
    until(lambda: has_frames(out) or record.poll() is not None, "no frame")
    hero.destroy()
    time.sleep(0.5)
    town.spawn(place=40)
    said = told(record)
    assert record.returncode == 0, said
    assert verify(out, decode=True).is_whole
    with Recording(out) as recording:
        places = np.array([frame.ego_to_world[:2, 3] for frame in recording.frames()])
    before, after = town.points[0].location, town.points[40].location
    for at, place in ((before, places[0]), (after, places[-1])):
        np.testing.assert_allclose(place, (at.x, -at.y), atol=0.5)


def test_a_walker_is_recorded_as_ego(town, tmp_path):
    walker, out = town.spawn("walker.pedestrian.0001"), tmp_path / "drive"
    walker.apply_control(carla.WalkerControl(carla.Vector3D(1, 0, 0), 1.5))
    record = town.verb("record", out, "--port", town.server.port, *SIZE, "--seconds", 2)
    said = told(record)
    assert record.returncode == 0, said
    with Recording(out) as recording:
        places = np.array([frame.ego_to_world[:2, 3] for frame in recording.frames()])
    assert np.linalg.norm(places[-1] - places[0]) == pytest.approx(3.0, abs=0.4)


def test_an_ego_that_is_destroyed_in_a_log_is_named(town, tmp_path):
    """Another client destroys what the replay of a log brought."""
    town.spawn()
    log, out = tmp_path / "drive.log", tmp_path / "drive"
    town.client.start_recorder(str(log))
    for _ in range(400):
        town.world.wait_for_tick()
    town.client.stop_recorder()
    for actor in town.world.get_actors().filter("vehicle.*"):
        actor.destroy()
    source = f"carla-log:{log}?port={town.server.port}"
    replay = town.verb("replay", source, "--out", out, *SIZE, "--labels", "none")
    until(lambda: list(town.world.get_actors().filter("sensor.*")), "no camera")
    time.sleep(0.5)
    for actor in town.world.get_actors().filter("vehicle.*"):
        actor.destroy()
    said = told(replay)
    assert replay.returncode == 1, said
    one_sentence(said, "vehicle", "destroyed by another client")


FORWARDER = """
import socket, sys, threading
def pump(source, target):
    while data := source.recv(65536):
        target.sendall(data)
    target.shutdown(socket.SHUT_WR)
listener = socket.create_server(("127.0.0.4", int(sys.argv[1])))
print("ready", flush=True)
while True:
    near = listener.accept()[0]
    far = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
    for pair in ((near, far), (far, near)):
        threading.Thread(target=pump, args=pair, daemon=True).start()
"""


@contextmanager
def rpc_alone(port):
    """Forward an address to the port of the calls, and not to the one of the streams."""
    process = subprocess.Popen(
        [sys.executable, "-c", FORWARDER, str(port)], stdout=subprocess.PIPE, text=True,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        assert process.stdout.readline() == "ready\n"
        yield "127.0.0.4"
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("passive", [False, True])
def test_a_shut_stream_port_is_named_with_a_rig(town, tmp_path, passive):
    town.spawn()
    (tmp_path / "rig.toml").write_text(RIG)
    port = town.server.port
    with rpc_alone(port) as host:
        flags = ["--host", host, "--port", port, "--timeout", 8, "--rig", tmp_path / "rig.toml"]
        flags += ["--engine", "identity", "--seconds", 2, *(["--passive"] * passive)]
        record = town.verb("record", tmp_path / "drive", *flags)
        said = told(record)
    assert record.returncode == 1
    one_sentence(said, f"{host}:{port + 1}", "a shut port")
