"""Paired clips: the same drive in the game look and path-traced, pixel for pixel.

Usage: python -m realmaster_live.bridges.minitown.pairs --out DIR --seeds 0:24 --frames 12

Each clip is `<clip>.sim.npy` and `<clip>.truth.npy`, both (T, H, W, 3) uint8, and `<clip>.json`
written last: a clip without it is not finished and is made again. Training also needs a few towns
with seeds 900:1000, to look at while it runs; towns from seed 1000 on are held out: nothing is ever
trained on them.
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from realmaster_live.bridges.minitown.look import LOOKS
from realmaster_live.bridges.minitown.network import make_network
from realmaster_live.bridges.minitown.pathtrace import PathTracer
from realmaster_live.bridges.minitown.prompts import AS_SIMULATED, PROMPTS, weather_for
from realmaster_live.bridges.minitown.raster import Rasteriser
from realmaster_live.bridges.minitown.scene import CameraView, SceneState, Weather
from realmaster_live.bridges.minitown.town import build_town
from realmaster_live.bridges.minitown.transforms import Pose
from realmaster_live.bridges.minitown.world import World
from realmaster_live.errors import ConfigError

logger = logging.getLogger(__name__)

WARM_UP_S = (4.0, 14.0)  # a drive starts after the traffic has spread out
VEHICLES, WALKERS = 34, 40


@dataclass(frozen=True, kw_only=True)
class Drive:
    """One clip to be made; everything about it follows from `seed`, `number` and `prompt`."""

    seed: int
    number: int
    prompt: str
    weather: Weather
    spawn_index: int
    warm_up_s: float
    mount: Pose
    fov_deg: float

    @property
    def name(self) -> str:
        """The clip's file name without an ending."""
        name = f"town{self.seed:04d}-{self.number}"
        return name if self.prompt == AS_SIMULATED else f"{name}-{self.prompt}"


def plan_drive(seed: int, number: int, prompt: str = AS_SIMULATED) -> Drive:
    """Draw a drive: a daytime weather, a place, a camera a little different from the last one.

    The prompt changes nothing but the truth.
    """
    rng = np.random.default_rng((seed, number, 77))
    return Drive(
        seed=seed,
        number=number,
        prompt=prompt,
        weather=draw_weather(rng),
        spawn_index=int(rng.integers(1000)),
        warm_up_s=float(rng.uniform(*WARM_UP_S)),
        mount=Pose(x=1.5, z=float(rng.uniform(1.45, 2.0)), pitch=float(rng.uniform(-4.0, 1.0))),
        fov_deg=float(rng.uniform(70.0, 90.0)),
    )


def draw_weather(rng: np.random.Generator) -> Weather:
    """Draw a daytime weather: clear, partly cloudy, overcast, low sun, or wet."""
    kind = rng.choice(
        ["clear", "cloudy", "overcast", "low sun", "wet"], p=[0.3, 0.2, 0.2, 0.15, 0.15]
    )
    clouds = {"clear": (0, 20), "cloudy": (25, 60), "overcast": (75, 100), "low sun": (0, 40)}
    altitude = (7.0, 18.0) if kind == "low sun" else (25.0, 70.0)
    wet = kind == "wet"
    return Weather(
        cloudiness=float(rng.uniform(*clouds.get(str(kind), (50, 95)))),
        precipitation_deposits=float(rng.uniform(30, 80)) if wet else 0.0,
        wetness=float(rng.uniform(40, 90)) if wet else 0.0,
        sun_azimuth_angle=float(rng.uniform(0.0, 360.0)),
        sun_altitude_angle=float(rng.uniform(*altitude)),
    )


def drive(
    drive_plan: Drive, *, frames: int, width: int, height: int, dt: float
) -> Iterator[tuple[SceneState, CameraView]]:
    """Yield what a front camera sees on `frames` ticks of `dt` seconds; the ego drives itself."""
    world = World(make_network(drive_plan.seed), seed=drive_plan.number)
    world.weather = drive_plan.weather
    ego = world.spawn_ego(drive_plan.spawn_index)
    world.populate(VEHICLES, WALKERS, drive_plan.number)
    size = {"image_size_x": str(width), "image_size_y": str(height), "fov": str(drive_plan.fov_deg)}
    camera = world.spawn("sensor.camera.rgb", drive_plan.mount, attributes=size, parent=ego.id)
    for _ in range(round(drive_plan.warm_up_s / dt)):
        world.step(dt)
    for _ in range(frames):
        world.step(dt)
        yield world.scene_state(), world.camera_view(camera.id)


def save_atomically(path: Path, array: NDArray[np.uint8]) -> None:
    """Write an array beside its place and move it there."""
    partial = path.with_suffix(".partial")
    with partial.open("wb") as file:
        np.save(file, array)
    partial.replace(path)


class Painters:
    """Both looks of one town, built once for all of its drives."""

    def __init__(self, seed: int, *, spp: int, look: str = "A") -> None:
        self.scene = build_town(make_network(seed))
        self.spp, self.look = spp, look
        self.rasteriser = Rasteriser(self.scene, look=LOOKS[look])
        self.tracers: dict[bool, PathTracer] = {}

    def truth(self, state: SceneState, view: CameraView, prompt: str) -> NDArray[np.uint8]:
        """Return the photograph (H, W, 3) of a moment as a prompt wants it."""
        snow = prompt == "snow"
        if snow not in self.tracers:
            self.tracers[snow] = PathTracer(self.scene, spp=self.spp, snow=snow)
        shown = replace(state, weather=weather_for(prompt, state.weather))
        return self.tracers[snow].render(shown, view)


def render_clip(
    plan: Drive, painters: Painters, out: Path, *, frames: int, width: int, height: int, dt: float
) -> None:
    """Draw one drive in both looks and write its three files."""
    started = time.monotonic()
    sim = np.empty((frames, height, width, 3), np.uint8)
    truth = np.empty_like(sim)
    moments = drive(plan, frames=frames, width=width, height=height, dt=dt)
    for index, (state, view) in enumerate(moments):
        sim[index] = painters.rasteriser.render(state, view).rgb
        truth[index] = painters.truth(state, view, plan.prompt)
    save_atomically(out / f"{plan.name}.sim.npy", sim)
    save_atomically(out / f"{plan.name}.truth.npy", truth)
    wall_s = time.monotonic() - started
    facts = asdict(plan) | {
        "frames": frames,
        "size": [width, height],
        "dt": dt,
        "spp": painters.spp,
        "look": painters.look,
        "wall_s": round(wall_s, 1),
        "complete": True,
    }
    partial = out / f"{plan.name}.json.partial"
    partial.write_text(json.dumps(facts, indent=1))
    partial.replace(out / f"{plan.name}.json")
    logger.info("%s: %d frames, %.2f s a frame", plan.name, frames, wall_s / frames)


def parse_range(text: str) -> range:
    """Return the seeds of "a:b" or "a"."""
    first, _, last = text.partition(":")
    try:
        return range(int(first), int(last) if last else int(first) + 1)
    except ValueError:
        raise ConfigError(
            f"expected seeds as 3 or 0:24, got {text!r}: give whole numbers"
        ) from None


def parse_prompts(text: str) -> list[str]:
    """Return the prompts of "rain,snow" or "all"."""
    names = list(PROMPTS) if text == "all" else [name.strip() for name in text.split(",")]
    for name in names:
        weather_for(name, Weather())  # or its error
    return names


def parse_size(text: str) -> tuple[int, int]:
    """Return (width, height) of "512x288"."""
    try:
        width, height = map(int, text.lower().split("x"))
    except ValueError:
        raise ConfigError(f"expected a size as 512x288, got {text!r}: give WxH") from None
    return width, height


def main(argv: Sequence[str] | None = None) -> None:
    """Make every clip that is not there yet."""
    parser = argparse.ArgumentParser(description="Make paired clips of the town in both looks.")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", default="0:24", help="such as 3 or 0:24")
    parser.add_argument("--drives", type=int, default=2, help="clips of each town")
    parser.add_argument("--frames", type=int, default=12)
    parser.add_argument("--size", default="512x288", metavar="WxH")
    parser.add_argument("--dt", type=float, default=0.05, help="seconds between frames")
    parser.add_argument("--spp", type=int, default=12, help="path-traced samples a pixel")
    parser.add_argument("--look", choices=sorted(LOOKS), default="A")
    parser.add_argument(
        "--prompts",
        default=AS_SIMULATED,
        help="such as rain,snow or all: the drives of a town take turns",
    )
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    seeds, prompts = parse_range(args.seeds), parse_prompts(args.prompts)
    width, height = parse_size(args.size)
    args.out.mkdir(parents=True, exist_ok=True)
    for seed in seeds:
        plans = [
            plan_drive(seed, number, prompts[(seed + number) % len(prompts)])
            for number in range(args.drives)
        ]
        missing = [plan for plan in plans if not (args.out / f"{plan.name}.json").exists()]
        if not missing:
            continue
        painters = Painters(seed, spp=args.spp, look=args.look)
        for plan in missing:
            render_clip(
                plan,
                painters,
                args.out,
                frames=args.frames,
                width=width,
                height=height,
                dt=args.dt,
            )


if __name__ == "__main__":
    main()
