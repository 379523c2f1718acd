"""How fast the embedded town casts a lidar's rays.

python benchmarks/lidar.py [--channels 64] [--points-per-second 1300000]
"""

from __future__ import annotations

import argparse
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from realmaster_live.frames.ego import Sweep
from realmaster_live.minitown.raster.ray_caster import RayCaster
from realmaster_live.minitown.scene import CameraView
from realmaster_live.minitown.server.rays import crossings, triangles_of
from realmaster_live.minitown.server.scanners import LIDAR, Scanner, echo_of
from realmaster_live.minitown.server.towns import load_town
from realmaster_live.minitown.traffic.population import populate
from realmaster_live.minitown.traffic.world import World
from realmaster_live.minitown.transforms import Pose, matrix
from realmaster_live.recording.sweeps import SweepFile, SweepWriter

TICK_S, TICKS, SLOW_RAYS = 0.05, 40, 20


def main() -> None:
    """Print milliseconds for one tick's part of a lidar, and ratios to other ways to get them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--channels", type=int, default=64)
    parser.add_argument("--points-per-second", type=int, default=1_300_000)
    options = parser.parse_args()
    town = load_town("MiniTown07", antialiasing=False)
    assert town.scene is not None
    began = time.perf_counter()
    caster = RayCaster(town.scene)
    print(f"trees of the town built in {time.perf_counter() - began:.2f} s (with compilation)")
    extents = {name: model.extent for name, model in town.scene.models.items()}
    world = World(town.network, seed=7, extents=extents, things=town.things)
    vehicles, _ = populate(world, 24, 24, 7)
    attributes = {
        "channels": str(options.channels), "points_per_second": str(options.points_per_second),
        "range": "100", "rotation_frequency": str(1 / TICK_S), "dropoff_general_rate": "0",
    }  # fmt: skip
    sensor = world.spawn(LIDAR, Pose(z=2.4), attributes=attributes, parent=vehicles[0])
    scanner = Scanner(sensor)
    spent, busy, rays, hits, shares = [], [], 0, 0, []
    for _ in range(TICKS + 1):
        world.step(TICK_S)
        state = world.scene_state()
        began, busy_began = time.perf_counter(), time.process_time()
        scan = scanner.scan(world.time_s, TICK_S)
        assert scan is not None
        caster.place(state.instances)
        echo = echo_of(caster, scan, {})
        body = scanner.body(scan, echo)
        spent.append(time.perf_counter() - began)
        busy.append(time.process_time() - busy_began)
        rays, hits = len(scan.directions), int(np.isfinite(echo.distance).sum())
        shares.append(len(body))
    sweep_s, busy_s = float(np.median(spent[1:])), float(np.median(busy[1:]))
    print(
        f"{options.channels} channels, {options.points_per_second} points a second: {rays} rays a "
        f"tick of {TICK_S:g} s, {hits} of the last ones met something, {shares[-1] / 1e6:.2f} MB"
    )
    print(
        f"{sweep_s * 1e3:.1f} ms a tick, {TICK_S / sweep_s:.2f} times as fast as simulated time; "
        f"{busy_s * 1e3:.1f} ms of processor time, {busy_s / rays * 1e6:.2f} us a ray"
    )
    _record(body, options.channels, busy_s)
    pose = matrix(sensor.pose)
    view = CameraView(cam_to_world=pose, width=320, height=240, fov_deg=90.0)
    town.renderer.render(state, view)
    began = time.perf_counter()
    for _ in range(10):
        town.renderer.render(state, view)
    picture_s = (time.perf_counter() - began) / 10
    print(f"a picture of 320x240 with depth takes {picture_s / sweep_s:.2f} times as long")
    triangles = triangles_of(town.scene)
    directions = scan.directions[:: len(scan.directions) // SLOW_RAYS] @ pose[:3, :3].T * 100.0
    began = time.perf_counter()
    for direction in directions:
        crossings(triangles, pose[:3, 3], direction)
    slow_s = (time.perf_counter() - began) / len(directions)
    print(f"a ray against all triangles takes {slow_s / (sweep_s / rays):.0f} times as long")


def _record(body: bytes, channels: int, busy_s: float) -> None:
    """Print what writing and reading a sweep in a recording costs."""
    counts = np.frombuffer(body, np.uint32, channels, 8)
    points = np.frombuffer(body, np.float32, offset=8 + 4 * channels).reshape(-1, 4)
    sweep = Sweep(
        frame_id=0,
        timestamp=0.0,
        kind="lidar",
        points=np.ascontiguousarray(points[:, :3]),
        values={
            "intensity": np.ascontiguousarray(points[:, 3]),
            "ring": np.repeat(np.arange(channels, dtype=np.uint16), counts),
        },
        sensor_to_world=np.eye(4),
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "lidar.arrow"
        writer = SweepWriter(path, "lidar")
        began = time.process_time()
        for number in range(TICKS):
            writer.write(replace(sweep, frame_id=number))
        write_s = (time.process_time() - began) / TICKS
        writer.close()
        size = path.stat().st_size / TICKS
        began = time.process_time()
        for read in SweepFile(path):
            assert len(read) == len(sweep)
        read_s = (time.process_time() - began) / TICKS
    print(
        f"a recording stores it in {size / 1e6:.2f} MB, {size / len(sweep):.1f} bytes a point; "
        f"writing takes {write_s / busy_s:.2f}, reading {read_s / busy_s:.2f} of the processor "
        f"time of casting ({write_s * 1e3:.1f} and {read_s * 1e3:.1f} ms)"
    )


if __name__ == "__main__":
    main()
