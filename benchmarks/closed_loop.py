"""Drives a route of the embedded town by its camera alone: on rendered and on photoreal pictures.

A small network learns, from rendered pictures of other towns, where the way six metres ahead
lies. Like a navigation system, the route tells it the way's bend; where the car is in its lane and
how it is turned, only the picture tells. The same network then drives an unseen town, tick by tick:
on rendered pictures, on photoreal ones under several latency policies, and blind, on a grey one.

`python benchmarks/closed_loop.py` starts its own town. It needs torch (the extra `training`).
"""

from __future__ import annotations

import argparse
import math
import queue
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import carla
import cv2
import numpy as np
import torch
from torch import nn
from ways_in import client_of, started

import realmaster_live as rm
from realmaster_live.bridges.carla.realized_camera import RealizedCamera, tick_in_lockstep

SIZE = (128, 96)  # of the camera and of the engine, pixels
SEEN = (64, 48)  # of what the network sees, pixels
SKY = 18  # rows of it that show no road
AHEAD_M, STEP_M, WHEELBASE_M = 6.0, 1.0, 2.9
SPEED_MPS, FPS = 6.0, 20.0
LOST_M = 2.0  # off the lane's middle: the drive is over
TOWNS, UNSEEN = ("Town02", "Town03", "Town04"), "Town01"
FORWARD_M, UP_M = 1.2, 1.6  # of the camera on the car


class Driver(nn.Module):
    """The way's direction six metres ahead, radians to the right, of picture and bend."""

    def __init__(self) -> None:
        super().__init__()
        self.eye = nn.Sequential(
            *_halving(3, 16, 5), *_halving(16, 32, 3), *_halving(32, 48, 3), nn.Flatten(),
            nn.Dropout(0.2), nn.LazyLinear(64), nn.LeakyReLU(0.1),
        )  # fmt: skip
        self.hand = nn.Linear(65, 1)

    def forward(self, pictures: torch.Tensor, bends: torch.Tensor) -> torch.Tensor:
        """Return (B,) radians of (B, 3, h, w) pictures in [-0.5, 0.5] and (B,) radians."""
        road = pictures[:, :, SKY:]
        return self.hand(torch.cat((self.eye(road), 3.0 * bends[:, None]), 1))[:, 0]


def _halving(inside: int, outside: int, size: int) -> tuple[nn.Module, ...]:
    convolution = nn.Conv2d(inside, outside, size, 2, size // 2)
    return convolution, nn.BatchNorm2d(outside), nn.ReLU()


@dataclass
class Route:
    """A way along lanes, a point a metre."""

    points: list[carla.Transform]
    at: int = 0

    def move(self, place: carla.Transform) -> float:
        """Follow the car; return how far it is right of the way, metres."""
        window = range(self.at, min(self.at + 12, len(self.points)))
        self.at = min(window, key=lambda i: self.points[i].location.distance(place.location))
        here, right = self.points[self.at], self.points[self.at].get_right_vector()
        off = place.location - here.location
        return off.x * right.x + off.y * right.y

    def ahead(self, place: carla.Transform) -> tuple[float, float]:
        """Return the target's direction from the car, and the way's bend up to it, radians."""
        target = self.points[min(self.at + int(AHEAD_M / STEP_M), len(self.points) - 1)]
        way = target.location - place.location
        yaw = math.radians(place.rotation.yaw)
        direction = math.atan2(way.y, way.x) - yaw
        bend = math.radians(target.rotation.yaw - self.points[self.at].rotation.yaw)
        return _turn(direction), _turn(bend)


def _turn(angle: float) -> float:
    return (angle + math.pi) % (2.0 * math.pi) - math.pi


def route_from(world: carla.World, start: carla.Transform, length_m: float, seed: int) -> Route:
    """Return a way from a place along its lanes; junctions are taken at random."""
    choose = random.Random(seed)
    waypoint = world.get_map().get_waypoint(start.location)
    points = []
    while waypoint is not None and len(points) * STEP_M < length_m:
        points.append(waypoint.transform)
        following = waypoint.next(STEP_M)
        waypoint = choose.choice(following) if following else None
    return Route(points)


def seen(image: carla.Image) -> np.ndarray:
    """Return what the network sees of an image, (3, h, w) float32."""
    pixels = np.frombuffer(image.raw_data, np.uint8).reshape(image.height, image.width, 4)
    small = cv2.resize(pixels[..., :3], SEEN, interpolation=cv2.INTER_AREA)
    return small.transpose(2, 0, 1).astype(np.float32) / 255.0 - 0.5


@contextmanager
def synchronous(client: carla.Client, town: str) -> Iterator[carla.World]:
    """Load a town and tick it ourselves."""
    world = client.load_world(town)
    settings = world.get_settings()
    settings.synchronous_mode, settings.fixed_delta_seconds = True, 1.0 / FPS
    world.apply_settings(settings)
    yield world
    settings.synchronous_mode, settings.fixed_delta_seconds = False, None
    world.apply_settings(settings)


def spawn_camera(world: carla.World, parent: Any = None) -> carla.Sensor:
    """Return a camera of the engine's size, on a car or anywhere."""
    place = carla.Transform(carla.Location(x=FORWARD_M, z=UP_M))
    blueprint = world.get_blueprint_library().find("sensor.camera.rgb")
    for name, value in (("image_size_x", SIZE[0]), ("image_size_y", SIZE[1]), ("fov", 100)):
        blueprint.set_attribute(name, str(value))
    return world.spawn_actor(blueprint, place, attach_to=parent)


def next_image(images: queue.Queue[carla.Image], frame: int) -> carla.Image:
    """Wait for the image of the tick, as CARLA's synchronous example does."""
    while (image := images.get(timeout=30.0)).frame != frame:
        pass
    return image


def collect(client: carla.Client, town: str, count: int) -> list[tuple[np.ndarray, float, float]]:
    """Return pictures from places beside the lanes' middles, with bend and direction."""
    rng, found = random.Random(town), []
    with synchronous(client, town) as world:
        starts = world.get_map().get_spawn_points()
        camera = spawn_camera(world)
        images: queue.Queue[carla.Image] = queue.Queue()
        camera.listen(images.put)
        time.sleep(0.3)
        while len(found) < count:
            seed = rng.randrange(1 << 30)
            route = route_from(world, rng.choice(starts), 60.0, seed)
            if len(route.points) < 30:
                continue
            for at in rng.sample(range(len(route.points) - 10), 12):
                middle = route.points[at]
                place = carla.Transform(middle.location, middle.rotation)
                place.location += middle.get_right_vector() * rng.gauss(0.0, 0.6)
                place.rotation.yaw += rng.gauss(0.0, 7.0)
                eye = place.transform(carla.Location(x=FORWARD_M, z=UP_M))
                camera.set_transform(carla.Transform(eye, place.rotation))
                image = next_image(images, world.tick())
                direction, bend = Route(route.points, at).ahead(place)
                found.append((seen(image), bend, direction))
        camera.stop()
        time.sleep(0.3)
        camera.destroy()
    return found


def train(samples: list[tuple[np.ndarray, float, float]], epochs: int) -> Driver:
    """Return a network that has learnt from the samples, mirrored and in changing light."""
    torch.manual_seed(0)
    pictures = torch.from_numpy(np.stack([one[0] for one in samples]))
    bends, wanted = (torch.tensor([one[i] for one in samples]) for i in (1, 2))
    driver = Driver()
    optimizer = torch.optim.AdamW(driver.parameters(), 1e-3)
    rate = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    for _ in range(epochs):
        for batch in torch.randperm(len(samples)).split(64):
            count = len(batch)
            light = (1 + 0.2 * torch.randn(count, 1, 1, 1)) * (
                1 + 0.1 * torch.randn(count, 3, 1, 1)
            )
            shown = pictures[batch] * light + 0.08 * torch.randn(count, 1, 1, 1)
            side = torch.where(torch.rand(count) < 0.5, -1.0, 1.0)
            shown = torch.where(side[:, None, None, None] < 0, shown.flip(3), shown)
            told = driver(shown, side * bends[batch])
            loss = nn.functional.smooth_l1_loss(told, side * wanted[batch], beta=0.1)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        rate.step()
    return driver.eval()


@dataclass
class Drive:
    """How one drive went."""

    length_m: float
    offsets_m: list[float] = field(default_factory=list)
    metres: float = 0.0
    ages: float = 0.0
    seconds: float = 0.0

    def __str__(self) -> str:
        """Return one line."""
        off = np.abs(self.offsets_m)
        return (
            f"{self.metres:5.0f} of {self.length_m:.0f} m  off the lane's middle: mean "
            f"{off.mean():.2f} m, 95th percentile {np.percentile(off, 95):.2f} m  pixels "
            f"{self.ages:.1f} frames old  {len(off) / self.seconds:.0f} steps a second"
        )


def drive(
    world: carla.World, driver: Driver, start: int, length_m: float, policy: str, engine: str
) -> Drive:
    """Drive from a spawn point until the route's end, or until the car has left its lane."""
    place = world.get_map().get_spawn_points()[start]
    route = route_from(world, place, length_m, start)
    place = carla.Transform(route.points[0].location + carla.Location(z=0.3), place.rotation)
    car = world.spawn_actor(world.get_blueprint_library().find("vehicle.tesla.model3"), place)
    plain = spawn_camera(world, car)
    camera: Any = plain
    if policy not in ("rendered", "blind"):
        camera = rm.realize(plain, engine=engine, policy=policy)
    images: queue.Queue[carla.Image] = queue.Queue()
    camera.listen(images.put)
    time.sleep(0.3)
    done, began = Drive(length_m=len(route.points) * STEP_M), time.monotonic()
    while route.at < len(route.points) - 2 and len(done.offsets_m) < 60 * FPS:
        frame = tick_in_lockstep(world.tick, [camera]) if policy == "lockstep" else world.tick()
        picture = seen(next_image(images, frame))
        if policy == "blind":
            picture = np.zeros_like(picture)
        here = car.get_transform()
        done.offsets_m.append(route.move(here))
        done.metres = route.at * STEP_M
        if abs(done.offsets_m[-1]) > LOST_M:
            break
        _, bend = route.ahead(here)
        with torch.no_grad():
            angle = float(driver(torch.from_numpy(picture)[None], torch.tensor([bend]))[0])
        wheel = math.atan2(2.0 * WHEELBASE_M * math.sin(angle), AHEAD_M)
        speed = car.get_velocity().length()
        wanted = SPEED_MPS * (1.0 - 0.5 * min(1.0, abs(bend) / 0.6))
        car.apply_control(
            carla.VehicleControl(
                throttle=max(0.0, min(0.7, 0.3 * (wanted - speed))),
                brake=max(0.0, min(0.5, 0.2 * (speed - wanted - 0.5))),
                steer=max(-1.0, min(1.0, wheel / math.radians(70.0))),
            )
        )
        late = began + (len(done.offsets_m) + 1) / FPS - time.monotonic()
        if policy == "hold" and late > 0:
            time.sleep(late)  # at the world's own pace, so that ages mean time
    done.seconds = time.monotonic() - began
    if isinstance(camera, RealizedCamera):
        done.ages = camera.figures.mean_age_frames
    camera.stop()
    time.sleep(0.3)
    camera.destroy()
    car.destroy()
    return done


def main() -> None:
    """Learn, then drive every way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=800, help="pictures of each town")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--length", type=float, default=100.0, help="of a route, metres")
    parser.add_argument("--starts", default="0,7", help="spawn points where routes begin")
    parser.add_argument("--engine", default="embedded")
    options = parser.parse_args()
    torch.set_num_threads(1)  # more would wait for each other beside a town
    starts = [int(text) for text in options.starts.split(",")]
    with started("minitown") as port:
        client = client_of(port)
        client.set_timeout(120.0)
        samples = [one for town in TOWNS for one in collect(client, town, options.samples)]
        driver = train(samples, options.epochs)
        held = collect(client, UNSEEN, 120)
        with torch.no_grad():
            pictures = torch.from_numpy(np.stack([one[0] for one in held]))
            bends = torch.tensor([one[1] for one in held])
            told = (driver(pictures, bends), driver(torch.zeros_like(pictures), bends))
        seeing, blind = (
            float(np.degrees(np.abs(one.numpy() - [each[2] for each in held]).mean()))
            for one in told
        )
        print(
            f"{len(samples)} pictures of {', '.join(TOWNS)}; in {UNSEEN} {seeing:.1f} degrees off, "
            f"blind {blind:.1f}"
        )
        if seeing > 0.8 * blind:
            raise SystemExit("the network has learnt nothing from pictures: give more --samples")
        with synchronous(client, UNSEEN) as world:
            for policy in ("rendered", "hold", "lockstep", "frame", "blind"):
                for start in starts:
                    done = drive(world, driver, start, options.length, policy, options.engine)
                    print(f"{policy:9s} from {start:2d}: {done}", flush=True)


if __name__ == "__main__":
    main()
