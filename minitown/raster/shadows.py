"""Where the sun does not reach: a kept map of the town and a fresh one of what moves."""

from __future__ import annotations

from collections import OrderedDict

import numpy as np
from numpy.typing import NDArray

from realmaster_live.minitown.raster.sampling import ShadowMap
from realmaster_live.minitown.raster.stage import Stage, Window
from realmaster_live.minitown.scene import Floats

NEAR_SIDE_M = 80.0  # window of the moving things' map
TOWN_SIDE_M = 256.0  # window of the town's map, which is twice as fine a picture
NEAR_AHEAD_M, TOWN_AHEAD_M = 34.0, 80.0
NEAR_STEP_M, TOWN_STEP_M = 4.0, 64.0  # windows move in steps, so that maps can be kept
KEPT_MAPS = 4
EMPTY = ShadowMap(
    nearness=np.zeros((1, 1), np.float32),
    rows=np.zeros((3, 4), np.float32),
    scale=np.float32(0.0),
    centre=np.float32(0.0),
)


def sun_view(
    sun: NDArray[np.float64],  # (3,) unit, towards the sun
    centre: NDArray[np.float64],  # (3,) metres
    texel_m: float,
) -> Floats:
    """Return the sun's view (3, 4), moved to whole texels so that shadows do not swim."""
    forward = -sun
    right = np.cross(forward, (0.0, 0.0, 1.0) if abs(sun[2]) < 0.999 else (1.0, 0.0, 0.0))
    right /= np.linalg.norm(right)
    rows = np.stack([right, np.cross(right, forward), forward])
    shift = -np.round(rows @ centre / texel_m) * texel_m
    return np.concatenate([rows, shift[:, None]], axis=1).astype(np.float32)


class Shadows:
    """The shadow maps of one stage; size 0 makes none."""

    def __init__(self, stage: Stage, size: int) -> None:
        """Prepare maps of (size, size) for what moves and (2 size, 2 size) for the town."""
        self._stage = stage
        self._size = size
        self._town: OrderedDict[tuple[float, ...], ShadowMap] = OrderedDict()
        self._near: OrderedDict[tuple[float, ...], ShadowMap] = OrderedDict()
        # one buffer for each size: a kernel is compiled anew for a part of a larger array
        self._winners = {side: np.zeros((side, side), np.int32) for side in (size, 2 * size)}

    def moved(self) -> None:
        """Forget the maps of what moves: the stage was placed anew."""
        self._near.clear()

    def maps(
        self,
        sun: NDArray[np.float64],  # (3,) unit
        eye: NDArray[np.float64],  # (3,) metres
        forward: NDArray[np.float64],  # (3,) unit
    ) -> tuple[ShadowMap, ShadowMap]:
        """Return the town's and the moving things' maps for a camera; empty ones by night."""
        if not self._size or sun[2] <= 0.02:
            return EMPTY, EMPTY
        sun = np.round(sun, 3)
        sun /= np.linalg.norm(sun)
        town = self._map(
            self._town, sun, eye + TOWN_AHEAD_M * forward, 2 * self._size, TOWN_SIDE_M, TOWN_STEP_M
        )
        near = self._map(
            self._near, sun, eye + NEAR_AHEAD_M * forward, self._size, NEAR_SIDE_M, NEAR_STEP_M
        )
        return town, near

    def _map(
        self,
        kept: OrderedDict[tuple[float, ...], ShadowMap],
        sun: NDArray[np.float64],
        centre: NDArray[np.float64],
        size: int,
        side_m: float,
        step_m: float,
    ) -> ShadowMap:
        centre = np.append(np.round(centre[:2] / step_m) * step_m, 0.0)
        key = (*sun, *centre)
        if key in kept:
            kept.move_to_end(key)
            return kept[key]
        scale, middle = np.float32(size / side_m), np.float32(size / 2)
        view = sun_view(sun, centre, side_m / size)
        nearness = np.empty((size, size), np.float32)
        window = Window(
            view=view, focal=scale, cx=middle, cy=middle,
            width=size, height=size, perspective=False,
        )  # fmt: skip
        town = kept is self._town
        self._stage.draw(window, nearness, self._winners[size], town=town, moving=not town)
        kept[key] = ShadowMap(nearness=nearness, rows=view, scale=scale, centre=middle)
        if len(kept) > KEPT_MAPS:
            kept.popitem(last=False)
        return kept[key]
