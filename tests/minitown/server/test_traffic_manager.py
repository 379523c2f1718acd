"""CARLA's own Traffic Manager in synchronous mode: no tick hangs, and no dead actor ends it."""

import subprocess
import sys

import pytest

pytest.importorskip("carla")

pytestmark = pytest.mark.carla

# a process of its own: a tick that hangs does so forever, and inside libcarla
PROGRAM = """
import sys
import carla
port, ticks, cars, destroyed = map(int, sys.argv[1:])
client = carla.Client("127.0.0.1", port)
client.set_timeout(60.0)
world = client.get_world()
settings = world.get_settings()
settings.synchronous_mode, settings.fixed_delta_seconds = True, 0.05
world.apply_settings(settings)
manager = client.get_trafficmanager(port + 5000 if port < 60000 else port - 5000)
manager.set_synchronous_mode(True)
blueprint = world.get_blueprint_library().find("vehicle.tesla.model3")
points = world.get_map().get_spawn_points()
made = [world.try_spawn_actor(blueprint, point) for point in points[: 8 * cars : 8]]
made = [car for car in made if car is not None]
world.tick()
for car in made:
    car.set_autopilot(True, manager.get_port())
for tick in range(ticks):
    if destroyed and tick % 40 == 20 and made:
        client.apply_batch([carla.command.DestroyActor(made.pop())])
    world.tick()
print("all ticks", flush=True)
import os
os._exit(0)  # the client's threads abort a process that ends in order
"""


def drive(server, ticks, cars, *, destroyed=False, limit_s=120.0):
    command = [sys.executable, "-c", PROGRAM, str(server.port), str(ticks), str(cars)]
    done = subprocess.run(
        [*command, str(int(destroyed))],
        capture_output=True,
        text=True,
        timeout=limit_s,
        check=False,
    )
    assert "all ticks" in done.stdout, (done.returncode, done.stderr[-400:])


def test_ticks_with_a_traffic_manager_end(running):
    with running("--no-raster", "--vehicles", "8", "--walkers", "4") as server:
        drive(server, 300, 1)


def test_vehicles_that_are_destroyed_under_the_manager_do_not_end_it(running):
    with running("--no-raster") as server:
        drive(server, 200, 5, destroyed=True)


@pytest.mark.soak
@pytest.mark.parametrize("cars", [0, 1, 8])
def test_ten_thousand_ticks_with_a_traffic_manager_end(running, cars):
    with running("--no-raster", "--vehicles", "12", "--walkers", "8") as server:
        drive(server, 10_000, cars, limit_s=3600.0)
