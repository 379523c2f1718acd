"""Drives a route of the embedded town by camera, on rendered and on photoreal pictures.

A small network learns from rendered pictures of other towns to predict the direction of a point on
the route six metres ahead. As from a navigation system, it gets the route's curvature; the car's
position and heading in its lane it must see in the picture. The same network then drives an unseen
town tick by tick: on rendered pictures, on photoreal ones under several latency policies, and
blind, on a grey picture.

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

SIZE = (128, 96)  # width and height of the camera's and the engine's pictures in pixels
INPUT_SIZE = (64, 48)  # width and height of the network's input in pixels
SKY_ROWS = 18  # rows of the input that show no road
LOOKAHEAD_M, STEP_M, WHEELBASE_M = 6.0, 1.0, 2.9
SPEED_MPS, FPS = 6.0, 20.0
MAX_OFFSET_M = 2.0  # distance from the lane's centre at which a drive ends
TOWNS, UNSEEN = ("Town02", "Town03", "Town04"), "Town01"
FORWARD_M, UP_M = 1.2, 1.6  # position of the camera on the car


class Driver(nn.Module):
    """Predicts the direction of the route six metres ahead, in radians to the right."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            *_downsampling(3, 16, 5), *_downsampling(16, 32, 3), *_downsampling(32, 48, 3),
            nn.Flatten(), nn.Dropout(0.2), nn.LazyLinear(64), nn.LeakyReLU(0.1),
        )  # fmt: skip
        self.head = nn.Linear(65, 1)

    def forward(self, pictures: torch.Tensor, curvatures: torch.Tensor) -> torch.Tensor:
        """Return directions (B,) for pictures (B, 3, h, w) in [-0.5, 0.5] and curvatures (B,)."""
        road = pictures[:, :, SKY_ROWS:]
        return self.head(torch.cat((self.encoder(road), 3.0 * curvatures[:, None]), 1))[:, 0]


def _downsampling(inside: int, outside: int, size: int) -> tuple[nn.Module, ...]:
    convolution = nn.Conv2d(inside, outside, size, 2, size // 2)
    return convolution, nn.BatchNorm2d(outside), nn.ReLU()


@dataclass
class Route:
    """A route along lanes, with one point per metre."""

    points: list[carla.Transform]
    at: int = 0

    def move(self, place: carla.Transform) -> float:
        """Advance to the car's position; return its offset to the right of the route in metres."""
        window = range(self.at, min(self.at + 12, len(self.points)))
        self.at = min(window, key=lambda i: self.points[i].location.distance(place.location))
        pose, right = self.points[self.at], self.points[self.at].get_right_vector()
        offset = place.location - pose.location
        return offset.x * right.x + offset.y * right.y

    def look_ahead(self, place: carla.Transform) -> tuple[float, float]:
        """Return the target's direction from the car, and the route's turn up to it, in radians."""
        target = self.points[min(self.at + int(LOOKAHEAD_M / STEP_M), len(self.points) - 1)]
        to_target = target.location - place.location
        yaw = math.radians(place.rotation.yaw)
        direction = math.atan2(to_target.y, to_target.x) - yaw
        curvature = math.radians(target.rotation.yaw - self.points[self.at].rotation.yaw)
        return _wrapped_angle(direction), _wrapped_angle(curvature)


def _wrapped_angle(angle: float) -> float:
    return (angle + math.pi) % (2.0 * math.pi) - math.pi


def route_from(world: carla.World, start: carla.Transform, length_m: float, seed: int) -> Route:
    """Return a route along lanes from a start, with random turns at junctions."""
    choose = random.Random(seed)
    waypoint = world.get_map().get_waypoint(start.location)
    points = []
    while waypoint is not None and len(points) * STEP_M < length_m:
        points.append(waypoint.transform)
        following = waypoint.next(STEP_M)
        waypoint = choose.choice(following) if following else None
    return Route(points)


def network_input(image: carla.Image) -> np.ndarray:
    """Return an image as the network's input, (3, h, w) float32."""
    pixels = np.frombuffer(image.raw_data, np.uint8).reshape(image.height, image.width, 4)
    small = cv2.resize(pixels[..., :3], INPUT_SIZE, interpolation=cv2.INTER_AREA)
    return small.transpose(2, 0, 1).astype(np.float32) / 255.0 - 0.5


@contextmanager
def synchronous(client: carla.Client, town: str) -> Iterator[carla.World]:
    """Load a town in synchronous mode for the duration of a `with` block."""
    world = client.load_world(town)
    settings = world.get_settings()
    settings.synchronous_mode, settings.fixed_delta_seconds = True, 1.0 / FPS
    world.apply_settings(settings)
    yield world
    settings.synchronous_mode, settings.fixed_delta_seconds = False, None
    world.apply_settings(settings)


def spawn_camera(world: carla.World, parent: Any = None) -> carla.Sensor:
    """Return a camera of the engine's size, attached to `parent` if given."""
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
    """Return (input, curvature, direction) from random poses near the centres of lanes."""
    rng, samples = random.Random(town), []
    with synchronous(client, town) as world:
        starts = world.get_map().get_spawn_points()
        camera = spawn_camera(world)
        images: queue.Queue[carla.Image] = queue.Queue()
        camera.listen(images.put)
        time.sleep(0.3)
        while len(samples) < count:
            seed = rng.randrange(1 << 30)
            route = route_from(world, rng.choice(starts), 60.0, seed)
            if len(route.points) < 30:
                continue
            for at in rng.sample(range(len(route.points) - 10), 12):
                lane_pose = route.points[at]
                place = carla.Transform(lane_pose.location, lane_pose.rotation)
                place.location += lane_pose.get_right_vector() * rng.gauss(0.0, 0.6)
                place.rotation.yaw += rng.gauss(0.0, 7.0)
                camera_location = place.transform(carla.Location(x=FORWARD_M, z=UP_M))
                camera.set_transform(carla.Transform(camera_location, place.rotation))
                image = next_image(images, world.tick())
                direction, curvature = Route(route.points, at).look_ahead(place)
                samples.append((network_input(image), curvature, direction))
        camera.stop()
        time.sleep(0.3)
        camera.destroy()
    return samples


def train(samples: list[tuple[np.ndarray, float, float]], epochs: int) -> Driver:
    """Return a network trained on the samples, with mirroring and changes of light."""
    torch.manual_seed(0)
    pictures = torch.from_numpy(np.stack([one[0] for one in samples]))
    curvatures, directions = (torch.tensor([one[i] for one in samples]) for i in (1, 2))
    driver = Driver()
    optimizer = torch.optim.AdamW(driver.parameters(), 1e-3)
    rate = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    for _ in range(epochs):
        for batch in torch.randperm(len(samples)).split(64):
            count = len(batch)
            light = (1 + 0.2 * torch.randn(count, 1, 1, 1)) * (
                1 + 0.1 * torch.randn(count, 3, 1, 1)
            )
            augmented = pictures[batch] * light + 0.08 * torch.randn(count, 1, 1, 1)
            side = torch.where(torch.rand(count) < 0.5, -1.0, 1.0)
            augmented = torch.where(side[:, None, None, None] < 0, augmented.flip(3), augmented)
            predicted = driver(augmented, side * curvatures[batch])
            loss = nn.functional.smooth_l1_loss(predicted, side * directions[batch], beta=0.1)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        rate.step()
    return driver.eval()


@dataclass
class Drive:
    """The measurements of one drive."""

    length_m: float
    offsets_m: list[float] = field(default_factory=list)
    metres: float = 0.0
    ages: float = 0.0
    seconds: float = 0.0

    def __str__(self) -> str:
        """Return one line."""
        offset = np.abs(self.offsets_m)
        return (
            f"{self.metres:5.0f} of {self.length_m:.0f} m  off the lane's centre: mean "
            f"{offset.mean():.2f} m, 95th percentile {np.percentile(offset, 95):.2f} m  pixels "
            f"{self.ages:.1f} frames old  {len(offset) / self.seconds:.0f} steps a second"
        )


def drive(
    world: carla.World, driver: Driver, start: int, length_m: float, policy: str, engine: str
) -> Drive:
    """Drive from a spawn point to the route's end, or until the car leaves its lane."""
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
    result, began = Drive(length_m=len(route.points) * STEP_M), time.monotonic()
    while route.at < len(route.points) - 2 and len(result.offsets_m) < 60 * FPS:
        frame = tick_in_lockstep(world.tick, [camera]) if policy == "lockstep" else world.tick()
        picture = network_input(next_image(images, frame))
        if policy == "blind":
            picture = np.zeros_like(picture)
        pose = car.get_transform()
        result.offsets_m.append(route.move(pose))
        result.metres = route.at * STEP_M
        if abs(result.offsets_m[-1]) > MAX_OFFSET_M:
            break
        _, curvature = route.look_ahead(pose)
        with torch.no_grad():
            angle = float(driver(torch.from_numpy(picture)[None], torch.tensor([curvature]))[0])
        wheel = math.atan2(2.0 * WHEELBASE_M * math.sin(angle), LOOKAHEAD_M)
        speed = car.get_velocity().length()
        target_speed = SPEED_MPS * (1.0 - 0.5 * min(1.0, abs(curvature) / 0.6))
        car.apply_control(
            carla.VehicleControl(
                throttle=max(0.0, min(0.7, 0.3 * (target_speed - speed))),
                brake=max(0.0, min(0.5, 0.2 * (speed - target_speed - 0.5))),
                steer=max(-1.0, min(1.0, wheel / math.radians(70.0))),
            )
        )
        late = began + (len(result.offsets_m) + 1) / FPS - time.monotonic()
        if policy == "hold" and late > 0:
            time.sleep(late)  # in real time, so that ages in frames are durations
    result.seconds = time.monotonic() - began
    if isinstance(camera, RealizedCamera):
        result.ages = camera.figures.mean_age_frames
    camera.stop()
    time.sleep(0.3)
    camera.destroy()
    car.destroy()
    return result


def main() -> None:
    """Train the network, then drive under every policy."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=800, help="pictures of each town")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--length", type=float, default=100.0, help="length of a route in metres")
    parser.add_argument("--starts", default="0,7", help="spawn points where routes begin")
    parser.add_argument("--engine", default="embedded")
    options = parser.parse_args()
    torch.set_num_threads(1)  # the town needs the other cores
    starts = [int(text) for text in options.starts.split(",")]
    with started("minitown") as port:
        client = client_of(port)
        client.set_timeout(120.0)
        samples = [one for town in TOWNS for one in collect(client, town, options.samples)]
        driver = train(samples, options.epochs)
        held_out = collect(client, UNSEEN, 120)
        with torch.no_grad():
            pictures = torch.from_numpy(np.stack([one[0] for one in held_out]))
            curvatures = torch.tensor([one[1] for one in held_out])
            predicted = (
                driver(pictures, curvatures),
                driver(torch.zeros_like(pictures), curvatures),
            )
        with_pictures, without_pictures = (
            float(np.degrees(np.abs(one.numpy() - [each[2] for each in held_out]).mean()))
            for one in predicted
        )
        print(
            f"{len(samples)} pictures of {', '.join(TOWNS)}; error in {UNSEEN} "
            f"{with_pictures:.1f} degrees, blind {without_pictures:.1f}"
        )
        if with_pictures > 0.8 * without_pictures:
            raise SystemExit("the network learnt nothing from pictures: give more --samples")
        with synchronous(client, UNSEEN) as world:
            for policy in ("rendered", "hold", "lockstep", "frame", "blind"):
                for start in starts:
                    result = drive(world, driver, start, options.length, policy, options.engine)
                    print(f"{policy:9s} from {start:2d}: {result}", flush=True)


if __name__ == "__main__":
    main()
