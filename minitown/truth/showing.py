"""Moments of a drive that show most of a kind of thing: near walkers, signs, traffic lights."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from realmaster_live.minitown.models.bodies import BICYCLE, MOTORCYCLE
from realmaster_live.minitown.models.people import PEDESTRIAN, RIDER
from realmaster_live.minitown.raster.rasteriser import Rasteriser
from realmaster_live.minitown.scene import Model
from realmaster_live.minitown.truth.drives import Drive, Moment, drive
from realmaster_live.minitown.truth.lights_seen import is_readable, lamp_size, lights_seen

SEARCH_S = 15.0  # of a drive are looked at
EVERY_S = 0.5
LEAST_SHARE = 5e-4  # of a picture's pixels, or a kind does not count as shown
LIGHTS, TWO_WHEELERS = "lights", "two-wheelers"
CLASSES: Mapping[str, tuple[int, ...]] = {  # CARLA's
    "walkers": (PEDESTRIAN, RIDER),
    TWO_WHEELERS: (MOTORCYCLE, BICYCLE),
    "signs": (8,),
}
KINDS = (LIGHTS, *CLASSES)


def showing(
    plan: Drive,
    kind: str,
    models: Mapping[str, Model],
    rasteriser: Rasteriser,
    *,
    frames: int,
    width: int,
    height: int,
    dt: float,
) -> tuple[Drive, Sequence[Moment] | None]:
    """Return the drive that ends where most of a kind of thing is seen, and its moments.

    Every half second of the drive's first 15 s is looked at. `kind` is one of KINDS: "lights" looks
    for the largest lamp that can be read, the others for the most pixels of their classes; for
    "two-wheelers", two of five vehicles of the traffic are some. Without any, the moments are None.
    """
    plan = replace(plan, two_wheelers=kind == TWO_WHEELERS)
    best, found, start = 0.0, None, 0
    last: deque[Moment] = deque(maxlen=frames)
    every = max(1, round(EVERY_S / dt))
    steps = drive(plan, frames=frames + round(SEARCH_S / dt), width=width, height=height, dt=dt)
    for tick, moment in enumerate(steps):
        last.append(moment)
        if len(last) < frames or (tick + 1 - frames) % every:
            continue
        seen = amount(kind, models, rasteriser, moment)
        if seen > best:
            best, found, start = seen, list(last), tick + 1 - frames
    return replace(plan, warm_up_s=plan.warm_up_s + start * dt), found


def amount(kind: str, models: Mapping[str, Model], rasteriser: Rasteriser, moment: Moment) -> float:
    """Return how much of a kind a picture shows: pixels, or the largest readable lamp's side."""
    state, view = moment
    drawn = rasteriser.render(state, view)
    if kind != LIGHTS:
        pixels = np.isin(drawn.semantic, CLASSES[kind])
        return float(pixels.sum()) if pixels.mean() >= LEAST_SHARE else 0.0
    lights = lights_seen(models, state, view, drawn.depth)
    return max((lamp_size(light) for light in lights if is_readable(light)), default=0.0)
