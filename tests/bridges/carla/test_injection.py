"""`realmaster inject`: unmodified programs whose cameras deliver photoreal images."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from realmaster_live.bridges.carla.injection import VARIABLE, environment, read_realizing
from realmaster_live.cli import main
from realmaster_live.errors import ConfigError
from realmaster_live.feeds.choice import CameraChoice
from realmaster_live.feeds.realizing import Realizing

pytestmark = pytest.mark.carla

SYNCHRONOUS = """
import json, queue, sys, time, carla
client = carla.Client("127.0.0.1", int(sys.argv[1]), 8)
client.set_timeout(60.0)
world = client.get_world()
settings = world.get_settings()
settings.synchronous_mode, settings.fixed_delta_seconds = True, 0.05
world.apply_settings(settings)
"""
# What CARLA's synchronous example does, in short: it knows nothing of us.
PROGRAM = (
    SYNCHRONOUS
    + """
cameras, seen = [], {}
sums = lambda: seen.get("rgb-front", [])
until = time.monotonic() + 90
changed = lambda: len(set(sums())) > 1 or time.monotonic() > until
try:
    for kind, role, width in (("rgb", "front", 64), ("rgb", "rear", 96), ("depth", "front", 64)):
        blueprint = world.get_blueprint_library().find("sensor.camera." + kind)
        for key, value in (("image_size_x", width), ("image_size_y", 32), ("role_name", role)):
            blueprint.set_attribute(key, str(value))
        place = carla.Transform(carla.Location(z=30.0))
        cameras.append((world.spawn_actor(blueprint, place), queue.Queue(), kind + "-" + role))
    for camera, images, _ in cameras:
        camera.listen(images.put)
        assert camera.is_listening()
    ticks = int(sys.argv[2])  # 0: until a picture is another one
    while len(sums()) < ticks or not ticks and not changed():
        frame = world.tick()
        for camera, images, name in cameras:
            while (image := images.get(timeout=60)).frame != frame:
                pass
            assert isinstance(image, carla.Image)
            seen.setdefault(name, []).append(sum(bytes(image.raw_data)[::4]))
    cameras[0][0].stop()
    assert not cameras[0][0].is_listening()
finally:
    for camera, _, _ in cameras:
        camera.destroy()
    settings.synchronous_mode, settings.fixed_delta_seconds = False, None
    world.apply_settings(settings)
time.sleep(0.5)  # the client's threads end after stop(); without it a process may abort
print(json.dumps(seen))
"""
)


def run(port: int, *options: str, ticks: int = 8) -> tuple[dict, str]:
    """Run the program under `realmaster inject`; return what it saw, and its standard error."""
    inject = (sys.executable, "-m", "realmaster_live", "inject", *options)
    command = (sys.executable, "-c", PROGRAM, str(port), str(ticks))
    done = subprocess.run([*inject, "--", *command], capture_output=True, text=True, timeout=150)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), done.stderr


@pytest.fixture(scope="module")
def drawn(blank_minitown):
    """What the program sees of the fixed picture without us."""
    command = (sys.executable, "-c", PROGRAM, str(blank_minitown.port), "2")
    done = subprocess.run(command, capture_output=True, text=True, timeout=150)
    return {name: sums[0] for name, sums in json.loads(done.stdout).items()}


def test_a_strict_program_sees_photoreal_cameras(blank_minitown, drawn):
    seen, told = run(blank_minitown.port, "--role", "front", ticks=0)
    ticks = len(seen["rgb-front"])
    assert seen["rgb-rear"] == [drawn["rgb-rear"]] * ticks  # not chosen
    assert seen["depth-front"] == [drawn["depth-front"]] * ticks
    assert seen["rgb-front"][:-1] == [drawn["rgb-front"]] * (ticks - 1)
    assert seen["rgb-front"][-1] != drawn["rgb-front"]
    assert "(front): every image comes at once" in told
    assert "(rear, 96x32) stays as drawn: it is not chosen" in told
    assert f"{ticks} of {ticks} images delivered, 1 of them photoreal" in told


def test_lockstep_gives_the_strict_program_each_frames_own_pixels(blank_minitown, drawn):
    seen, told = run(blank_minitown.port, "--policy", "lockstep", "--camera-size", "64x32", ticks=3)
    assert drawn["rgb-front"] not in seen["rgb-front"]
    assert seen["rgb-rear"] == [drawn["rgb-rear"]] * 3
    assert "12 of 12 images delivered, 12 of them photoreal, 0.0 frames old" in told


def test_no_more_cameras_than_asked_for(blank_minitown, drawn):
    seen, told = run(blank_minitown.port, "--count", "1", "--policy", "lockstep", ticks=1)
    assert seen["rgb-front"] != [drawn["rgb-front"]] and seen["rgb-rear"] == [drawn["rgb-rear"]]
    assert "stays as drawn: 1 are realized" in told


TWO_SERVERS = """
import queue, sys, carla
clients = [carla.Client("127.0.0.1", int(port), 8) for port in sys.argv[1:3]]
worlds = []
for client in clients:
    client.set_timeout(60.0)
    worlds.append(client.get_world())
assert worlds[0].id != worlds[1].id
def camera(world, role):
    blueprint = world.get_blueprint_library().find("sensor.camera.rgb")
    for key, value in (("image_size_x", 64), ("image_size_y", 32), ("role_name", role)):
        blueprint.set_attribute(key, str(value))
    return world.spawn_actor(blueprint, carla.Transform(carla.Location(z=30.0)))
cameras = [camera(world, "twin") for world in worlds]
while cameras[0].id != cameras[1].id:  # actors of two servers have the same numbers
    late = cameras[0].id > cameras[1].id
    cameras[late].destroy()
    cameras[late] = camera(worlds[late], "twin")
settings = [world.get_settings() for world in worlds]
for world in worlds:
    own = world.get_settings()
    own.synchronous_mode, own.fixed_delta_seconds = True, 0.05
    world.apply_settings(own)
try:
    images = [queue.Queue(), queue.Queue()]
    for one, waiting in zip(cameras, images):
        one.listen(waiting.put)
    for _ in range(8):
        for world, waiting in zip(worlds, images):  # each has its own clock
            frame = world.tick()
            while waiting.get(timeout=60).frame != frame:
                pass
    cameras[0].stop()
    assert (cameras[0].is_listening(), cameras[1].is_listening()) == (False, True)
    cameras[0].destroy()
    frame = worlds[1].tick()
    while images[1].get(timeout=60).frame != frame:
        pass
    assert cameras[1].destroy()
finally:
    for world, own in zip(worlds, settings):
        world.apply_settings(own)
print("both served", cameras[0].id)
"""


@pytest.mark.parametrize("policy", ["hold", "lockstep"])
def test_cameras_of_two_servers_are_told_apart(blank_minitown, running, tmp_path, policy):
    with running("--seed", "3", "--no-raster") as other:
        options = ("--policy", policy, "--engine", "identity")
        inject = (sys.executable, "-m", "realmaster_live", "inject", *options)
        ports = (str(blank_minitown.port), str(other.port))
        done = subprocess.run(
            [*inject, "--", sys.executable, "-c", TWO_SERVERS, *ports],
            capture_output=True,
            text=True,
            timeout=150,
        )
    assert done.returncode == 0, done.stderr
    (number,) = done.stdout.split()[2:]
    assert done.stderr.count(f"camera {number}: ") == 2  # what each delivered


EPISODES = (
    SYNCHRONOUS
    + """
numbers = []
try:
    for apply in (client.apply_batch_sync, client.apply_batch, client.apply_batch_sync):
        blueprint = world.get_blueprint_library().find("sensor.camera.rgb")
        for key, value in (("image_size_x", 64), ("image_size_y", 32), ("role_name", "front")):
            blueprint.set_attribute(key, str(value))
        camera = world.spawn_actor(blueprint, carla.Transform(carla.Location(z=30.0)))
        images = queue.Queue()
        camera.listen(images.put)
        frame = world.tick()
        while images.get(timeout=60).frame != frame:
            pass
        numbers.append(camera.id)
        apply([carla.command.DestroyActor(camera)])
        world.tick()
finally:
    settings.synchronous_mode, settings.fixed_delta_seconds = False, None
    world.apply_settings(settings)
print(*numbers)
"""
)


def test_cameras_that_a_batch_destroys_make_room_for_others(blank_minitown):
    options = ("--count", "1", "--engine", "identity")
    inject = (sys.executable, "-m", "realmaster_live", "inject", *options)
    command = (sys.executable, "-c", EPISODES, str(blank_minitown.port))
    done = subprocess.run([*inject, "--", *command], capture_output=True, text=True, timeout=150)
    assert done.returncode == 0, done.stderr
    numbers = done.stdout.split()
    assert len(numbers) == 3 and "stays as drawn" not in done.stderr
    for number in numbers:
        assert f"camera {number}: 1 of 1 images delivered" in done.stderr


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--prompt", "sleet"), "expected a prompt"),
        (("--size", "100x100"), "expected a width"),
        (("--size", "32000x32000"), "expected pictures that fit"),
    ],
)
@pytest.mark.parametrize("verb", ["inject", "proxy"])
def test_what_no_engine_can_do_ends_it_before_the_program_starts(verb, options, expected, capsys):
    program = ("--", sys.executable, "-c", "print('started')") if verb == "inject" else ()
    assert main([verb, *options, *program]) == 1
    said = capsys.readouterr()
    assert said.err.startswith(f"realmaster: error: {expected}") and not said.out
    assert said.err.count("\n") == 1


def test_the_options_survive_the_environment(tmp_path):
    realizing = Realizing(
        engine="identity",
        policy="two_pass",
        size=(64, 32),
        record=tmp_path,
        cameras=CameraChoice(roles=("a",), sizes=((8, 4),), count=2),
    )
    environ = environment(realizing, {"PYTHONPATH": "/mine"})
    assert read_realizing(environ[VARIABLE]) == realizing
    assert environ["PYTHONPATH"].split(os.pathsep)[1] == "/mine"


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"cameras": {}}', "nonsense"])
def test_other_texts_in_the_environment_are_refused(text):
    with pytest.raises(ConfigError, match="expected options of `realmaster inject`"):
        read_realizing(text)


def test_a_programs_own_sitecustomize_still_runs(tmp_path: Path):
    (tmp_path / "sitecustomize.py").write_text("print('mine', __name__)")
    environ = environment(Realizing(), {**os.environ, "PYTHONPATH": str(tmp_path)})
    code = "import sys; print('carla' in sys.modules, 'numpy' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == ["mine sitecustomize", "False False"]


def test_a_python_that_lacks_us_says_so_and_runs_all_the_same(tmp_path: Path):
    (tmp_path / "carla.py").write_text("x = 1")
    environ = environment(Realizing(), {"PATH": os.environ["PATH"], "PYTHONPATH": str(tmp_path)})
    done = subprocess.run(
        [sys.executable, "-S", "-c", "import sitecustomize, carla; print(carla.x)"],
        env=environ,
        capture_output=True,
        text=True,
    )
    assert done.stdout == "1\n" and done.returncode == 0
    assert "install realmaster_live there, or use realmaster proxy" in done.stderr
