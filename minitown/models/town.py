"""The whole town that never moves: ground, paint, plots, street furniture, parked cars, horizon."""

from __future__ import annotations

import math
from itertools import count

import numpy as np
from numpy.typing import NDArray

from realmaster_live.minitown.models import foliage, street
from realmaster_live.minitown.models.catalogue import make_models
from realmaster_live.minitown.models.ground import KERB_HEIGHT, lay_ground, place_along
from realmaster_live.minitown.models.materials import LEAVES, TILES, make_materials
from realmaster_live.minitown.models.paint import paint_lines
from realmaster_live.minitown.models.parking import park
from realmaster_live.minitown.models.plots import BLOCKS, build_block
from realmaster_live.minitown.models.shapes import Builder, frame
from realmaster_live.minitown.plan.layout import Street, make_layout
from realmaster_live.minitown.plan.network import block_loops
from realmaster_live.minitown.plan.roads import RoadNetwork
from realmaster_live.minitown.scene import StaticScene

Array = NDArray[np.float64]

FIRST_INSTANCE = 10_000
VEGETATION = 9
SLOT_M = 3.0


def build_town(network: RoadNetwork) -> StaticScene:
    """Build the scene of `network`; the same network gives the same scene, bit for bit."""
    layout = make_layout(network.seed)
    rng = np.random.default_rng([network.seed, 2])
    builder = Builder(tiles=TILES)
    ids = count(FIRST_INSTANCE)
    loops = block_loops(layout)
    kinds = [str(kind) for kind in rng.choice(list(BLOCKS), len(loops), p=[0.4, 0.2, 0.25, 0.15])]
    outer = max(range(len(loops)), key=lambda n: sum(s.path.length for s, _ in loops[n]))
    kinds[outer] = "suburb"
    covers = [BLOCKS[kind].cover for kind in kinds]
    outlines = lay_ground(builder, layout, loops, covers)
    paint_lines(builder, layout, rng)
    for number, (loop, outline) in enumerate(zip(loops, outlines, strict=True)):
        build_block(builder, BLOCKS[kinds[number]], loop, outline, number == outer, ids, rng)
    for signal in network.signals.values():
        x, y, z = signal.position
        pose = frame(x, y, math.radians(signal.yaw_deg), z)
        street.light_pole(builder.pen(street.POLES, next(ids), pose))
    for road in layout.streets.values():
        for side in (-1, 1):
            _furnish(builder, road, side, ids, rng)
    park(builder, layout, network, ids, rng)
    reach = float(np.abs(outlines[outer]).max())
    foliage.horizon(builder, rng, reach)
    return StaticScene(
        seed=network.seed,
        meshes=builder.meshes(),
        materials=make_materials(),
        models=make_models(),
        poses=builder.poses,
    )


def _furnish(builder: Builder, road: Street, side: int, ids: count[int],
             rng: np.random.Generator) -> None:  # fmt: skip
    """Set lamps, trees and small things along one kerb, one in a slot of 3 m."""
    slots = int((road.path.length - 5.0) // SLOT_M)
    kerb = side * road.half_width
    flip = side < 0
    leaf = str(rng.choice(LEAVES[:3]))
    leafy = rng.random() < 0.65
    style = 0 if road.lanes > 1 else int(road.id % 2)
    offset = 1 if side > 0 else 6
    busy = False
    for slot in range(slots):
        s = 2.5 + (slot + 0.5) * SLOT_M
        if slot == 0:
            pose = place_along(road, s, kerb + side * 0.5, flip)
            if side > 0:
                street.sign(builder.pen(street.SIGNS, next(ids), pose), int(rng.integers(2)))
        elif slot % 9 == offset:
            pose = place_along(road, s, kerb + side * 0.55, flip)
            street.lamp(builder.pen(street.POLES, next(ids), pose), style)
        elif leafy and slot % 4 == offset % 4:
            pose = place_along(road, s, kerb + side * 0.95, flip)
            street.tree_pit(
                builder, pose[0, 3], pose[1, 3], math.atan2(pose[1, 0], pose[0, 0]), KERB_HEIGHT
            )
            height = rng.uniform(5.5, 8.5)
            foliage.tree(builder.pen(VEGETATION, next(ids), pose), rng, height, leaf)
        elif rng.random() < 0.16:
            near = place_along(road, s, kerb + side * 0.6, flip)
            thing = int(rng.integers(6))
            if thing == 5 and not busy and road.path.length > 45 and slot < slots - 2:
                busy = True
                pose = place_along(road, s, kerb + side * 1.9, flip)
                street.shelter(builder.pen(street.STATIC, next(ids), pose))
            else:
                drawers = (
                    street.bench,
                    street.bin_,
                    street.hydrant,
                    street.mailbox,
                    street.bollard,
                )
                drawers[thing % 5](builder.pen(street.STATIC, next(ids), near))
