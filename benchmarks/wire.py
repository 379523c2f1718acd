"""Measures the rate at which minitown's pictures reach the real carla client.

`python benchmarks/wire.py` starts its own servers; run it on an idle machine. The first lines send
one fixed picture, so they measure the wire protocol alone. The last lines draw every picture.
"""

from __future__ import annotations

import argparse
import platform
import queue
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import carla
import numpy as np

KINDS = ("rgb", "depth", "semantic_segmentation", "instance_segmentation")
READY = re.compile(r"ready on ([\w.]+):(\d+)")


@contextmanager
def server(*options: str) -> Iterator[carla.Client]:
    """Run a server on a free port, and yield a client of it."""
    command = [sys.executable, "-m", "realmaster_live", "minitown", "--port", "0"]
    with subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True) as process:
        try:
            found = READY.search(process.stdout.readline() if process.stdout else "")
            if found is None:
                raise SystemExit("the server did not start: run it by hand to see why")
            client = carla.Client(found[1], int(found[2]), 8)
            client.set_timeout(30.0)
            yield client
        finally:
            process.terminate()


def measure(client: carla.Client, kinds: tuple[str, ...], size: tuple[int, int], s: float) -> str:
    """Tick for `s` seconds, waiting for all images each time; return a line of figures."""
    world = client.get_world()
    settings = world.get_settings()
    settings.synchronous_mode, settings.fixed_delta_seconds = True, 0.05
    world.apply_settings(settings)
    library, points = world.get_blueprint_library(), world.get_map().get_spawn_points()
    ego = next(
        actor
        for point in points
        if (actor := world.try_spawn_actor(library.find("vehicle.lincoln.mkz_2020"), point))
    )
    cameras = []
    for kind in kinds:
        blueprint = library.find(f"sensor.camera.{kind}")
        blueprint.set_attribute("image_size_x", str(size[0]))
        blueprint.set_attribute("image_size_y", str(size[1]))
        mount = carla.Transform(carla.Location(1.5, 0.0, 1.7))
        camera = world.spawn_actor(blueprint, mount, attach_to=ego)
        images: queue.Queue[carla.SensorData] = queue.Queue()
        camera.listen(images.put)
        cameras.append((camera, images))
    times: list[float] = []
    ego.apply_control(carla.VehicleControl(throttle=0.4))
    start = time.perf_counter()
    while (now := time.perf_counter()) - start < s or len(times) < 10:
        frame = world.tick()
        for _, images in cameras:
            if images.get(timeout=30.0).frame != frame:
                raise SystemExit("an image of another frame came: this is a bug")
        times.append(time.perf_counter() - now)
    for camera, _ in cameras:
        camera.stop()
        camera.destroy()
    ego.destroy()
    times = times[3:]
    rate = len(times) / sum(times)
    late = np.percentile(times, 95) * 1e3
    return (
        f"{size[0]:4d}x{size[1]:<4d} {'+'.join(kind.split('_')[0] for kind in kinds):31s} "
        f"{rate:7.1f} ticks/s {rate * len(kinds):7.1f} images/s  p95 {late:6.1f} ms"
    )


def main() -> None:
    """Measure the wire protocol alone, then with drawing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="length of each measurement")
    parser.add_argument("--vehicles", type=int, default=20)
    parser.add_argument("--walkers", type=int, default=15)
    options = parser.parse_args()
    print(f"{platform.processor() or platform.machine()}, Python {platform.python_version()}")
    print("the wire protocol alone, one fixed picture")
    with server("--no-raster") as client:
        for kinds, size in (
            (KINDS[:1], (640, 360)),
            (KINDS[:1], (1280, 720)),
            (KINDS, (1280, 720)),
        ):
            print(measure(client, kinds, size, options.seconds), flush=True)
        time.sleep(0.3)  # the client's threads end after stop()
    print(f"drawn, {options.vehicles} vehicles and {options.walkers} walkers")
    crowd = ("--vehicles", str(options.vehicles), "--walkers", str(options.walkers))
    with server(*crowd) as client:
        for kinds, size in (
            (KINDS[:1], (640, 360)),
            (KINDS[:3], (640, 360)),
            (KINDS, (640, 360)),
            (KINDS[:1], (1280, 720)),
        ):
            print(measure(client, kinds, size, options.seconds), flush=True)
        time.sleep(0.3)


if __name__ == "__main__":
    main()
