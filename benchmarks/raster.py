"""Measures the frame rate of the town's rasteriser: python benchmarks/raster.py [--town 3]."""

import argparse
import os
import time

from realmaster_live.minitown.models.town import build_town
from realmaster_live.minitown.plan.network import make_network
from realmaster_live.minitown.raster.rasteriser import Rasteriser
from realmaster_live.minitown.scene import CameraView, SceneState
from realmaster_live.minitown.traffic.population import populate
from realmaster_live.minitown.traffic.world import World
from realmaster_live.minitown.transforms import Pose, matrix

SIZES = ((512, 288), (640, 360), (1280, 720))
VEHICLES, WALKERS, FRAMES, DT = 30, 30, 30, 0.05


def drive(town: int) -> tuple[list[SceneState], int]:
    """Return the states of a drive, and the ego's id."""
    world = World(make_network(town))
    ego = world.spawn_ego()
    populate(world, VEHICLES, WALKERS, 1)
    for _ in range(60):
        world.step(DT)
    states = []
    for _ in range(FRAMES + 2):
        world.step(DT)
        states.append(world.scene_state())
    return states, ego.id


def main() -> None:
    """Print wall-clock and CPU time for each size, with and without shadows."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--town", type=int, default=3)
    args = parser.parse_args()
    scene = build_town(make_network(args.town))
    states, ego = drive(args.town)
    mount = matrix(Pose(x=1.5, z=1.7))
    triangles = sum(len(mesh.triangles) for mesh in scene.meshes)
    print(f"town {args.town}: {triangles} triangles, {len(states[0].instances)} instances")
    print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    for shadow_size in (1024, 0):
        rasteriser = Rasteriser(scene, shadow_size=shadow_size)
        for width, height in SIZES:
            wall, busy = 0.0, 0.0
            for number, state in enumerate(states):
                place = next(one for one in state.instances if one.actor_id == ego)
                pose = place.model_to_world @ mount
                view = CameraView(cam_to_world=pose, width=width, height=height, fov_deg=90.0)
                if number == 2:  # the first frames only compile and fill the caches
                    wall, busy = time.perf_counter(), time.process_time()
                rasteriser.render(state, view)
            wall, busy = time.perf_counter() - wall, time.process_time() - busy
            print(
                f"{width}x{height} {'with' if shadow_size else 'without'} shadows: "
                f"{FRAMES / wall:.1f} frames/s, {1000 * busy / FRAMES:.0f} ms of CPU per frame"
            )


if __name__ == "__main__":
    main()
