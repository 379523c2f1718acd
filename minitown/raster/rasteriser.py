"""The game look: a software rasteriser that gives colour, depth, labels and motion in one pass."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import radians, tan

import numpy as np
from numpy.typing import NDArray

from realmaster_live.minitown.raster import lamps, sky
from realmaster_live.minitown.raster.look import LOOK_A, NATURAL, Look, lighting
from realmaster_live.minitown.raster.overlays import (
    motion,
    rain_streaks,
    sharpen,
)
from realmaster_live.minitown.raster.sampling import Lens
from realmaster_live.minitown.raster.shading import guide, shade
from realmaster_live.minitown.raster.shadows import Shadows
from realmaster_live.minitown.raster.stage import Stage, Window
from realmaster_live.minitown.raster.surfaces import GLOW, RED, SCALE, Surfaces, pack_surfaces
from realmaster_live.minitown.scene import (
    CameraView,
    Floats,
    SceneState,
    StaticScene,
    Weather,
)

GROUND = (1, 2, 10, 22, 24, 25)  # CARLA's road, sidewalk, terrain, ground, line, ground
MAX_LAMPS = 16
KEPT_SIZES = 8  # sizes of which the buffers are kept


@dataclass(frozen=True, kw_only=True)
class Buffers:
    """One rendered view; every array is the caller's own.

    Attributes:
        rgb: (H, W, 3) uint8 sRGB. depth: (H, W) float32 metres along the optical axis, inf at sky.
        semantic: (H, W) uint8 CARLA class, 11 at sky. instance: (H, W) int32, 0 for none.
        flow: (H, W, 2) float32 pixels or None: x right, y down, this pixel minus where the same
            surface point was in the earlier view; nan where that was behind the earlier camera.
    """

    rgb: NDArray[np.uint8]
    depth: Floats
    semantic: NDArray[np.uint8]
    instance: NDArray[np.int32]
    flow: Floats | None = None


def window_of(view: CameraView, far: float = np.inf) -> Window:
    """Return the camera's window: a world point p shows at cx + f r / d, cy - f u / d."""
    pose = np.asarray(view.cam_to_world, np.float64)
    rows = np.stack([pose[:3, 1], pose[:3, 2], pose[:3, 0]])
    shift = -rows @ pose[:3, 3]
    return Window(
        view=np.concatenate([rows, shift[:, None]], axis=1).astype(np.float32),
        focal=np.float32(view.width / 2 / tan(radians(view.fov_deg) / 2)),
        cx=np.float32(view.width / 2),
        cy=np.float32(view.height / 2),
        width=view.width,
        height=view.height,
        perspective=True,
        far=far,
    )


def lens_of(view: CameraView) -> Lens:
    """Return the camera as the shading kernels take it."""
    window = window_of(view)
    eye = np.ascontiguousarray(view.cam_to_world[:3, 3], np.float32)
    return Lens(rows=window.view, eye=eye, focal=window.focal, cx=window.cx, cy=window.cy)


def finer(view: CameraView, times: int) -> CameraView:
    """Return the same view with `times` as many pixels each way."""
    return replace(view, width=times * view.width, height=times * view.height)


class Rasteriser:
    """Draws a town in a game's look. One serves any number of cameras; not for two threads."""

    def __init__(self, scene: StaticScene, *, look: Look = LOOK_A, shadow_size: int = 1024) -> None:
        """Pack the town. `shadow_size` is the side of the sun's map in texels, 0 for no shadows."""
        self.look = look
        self._models = scene.models
        surfaces, numbers = pack_surfaces(scene.materials)
        self._surfaces = in_palette(surfaces, look)
        grounds = {mesh.material for mesh in scene.meshes if mesh.semantic in GROUND}
        rows = [number for name, number in numbers.items() if name in grounds]
        self._surfaces.table.reshape(3, len(numbers), -1)[:, rows, SCALE] = look.texture_scale
        self._stage = Stage(scene, numbers)
        self._shadows = Shadows(self._stage, shadow_size)
        self._street_lamps = lamps.street_lamps(scene)
        self._noise = sky.cloud_noise()
        self._state: SceneState | None = None
        self._weather: Weather | None = None
        self._buffers: dict[tuple[int, int], tuple[Floats, NDArray[np.int32]]] = {}

    def render(
        self,
        state: SceneState,
        view: CameraView,
        *,
        flow_from: tuple[SceneState, CameraView] | None = None,
    ) -> Buffers:
        """Draw one view of one state.

        With `flow_from` (an earlier state and view) the flow is drawn too: this pixel minus where
        the same surface point was then, moving instances included.
        """
        self._prepare(state)
        size = (view.height, view.width)
        pose = np.asarray(view.cam_to_world, np.float64)
        town, near = self._shadows.maps(sky.sun_direction(state.weather), pose[:3, 3], pose[:3, 0])
        nearness, winner = self._visible(view)
        samples = self.look.samples
        fine_nearness, fine_winner = (
            self._visible(finer(view, samples)) if samples > 1 else (nearness, winner)
        )
        rgb = np.empty((*size, 3), np.uint8)
        depth = np.empty(size, np.float32)
        semantic = np.empty(size, np.uint8)
        instance = np.empty(size, np.int32)
        lens = lens_of(view)
        shade(
            self._stage.arrays,
            self._lit_surfaces,
            self._stage.paints,
            self._light,
            lens,
            town,
            near,
            self._lamp_rows(state, pose[:3, 3]),
            self._noise,
            nearness,
            winner,
            fine_nearness,
            fine_winner,
            rgb,
            depth,
            semantic,
            instance,
        )
        if self.look.sharpening:
            soft, rgb = rgb, np.empty_like(rgb)
            sharpen(soft, self.look.sharpening, rgb)
        if state.weather.precipitation > 0:
            rain_streaks(rgb, state.weather.precipitation / 100.0, state.frame, 0.35)
        flow = None
        if flow_from is not None:
            before, view_before = flow_from
            flow = np.empty((*size, 2), np.float32)
            moved = self._stage.place_before(before.instances)
            motion(self._stage.arrays, moved, lens, lens_of(view_before), nearness, winner, flow)
        return Buffers(rgb=rgb, depth=depth, semantic=semantic, instance=instance, flow=flow)

    def guides(
        self, state: SceneState, view: CameraView, *, times: int = 2
    ) -> tuple[Floats, Floats, Floats]:
        """Return what a denoiser wants: albedo and normals (H, W, 3), and depth (H, W), float32.

        Albedo is linear, normals are in world axes; both are means of `times` by `times` samples
        a pixel. Depth is the middle sample's in metres, inf at sky.
        """
        self._prepare(state)
        fine = finer(view, times)
        nearness, winner = self._visible(fine)
        albedo = np.empty((fine.height, fine.width, 3), np.float32)
        normals = np.empty_like(albedo)
        guide(
            self._stage.arrays,
            self._lit_surfaces,
            self._stage.paints,
            self._light,
            lens_of(fine),
            nearness,
            winner,
            albedo,
            normals,
        )
        blocks = (view.height, times, view.width, times, 3)
        middle = nearness[times // 2 :: times, times // 2 :: times]
        with np.errstate(divide="ignore"):
            depth = np.float32(1.0) / middle
        return (
            albedo.reshape(blocks).mean(axis=(1, 3)),
            normals.reshape(blocks).mean(axis=(1, 3)),
            depth,
        )

    def _prepare(self, state: SceneState) -> None:
        """Place what moves and set the light, unless they are as they were."""
        if state is not self._state:
            self._stage.place(state.instances)
            self._shadows.moved()
            self._state = state
        if state.weather != self._weather:
            self._light = lighting(self.look, state.weather)
            self._lit_surfaces = lit_surfaces(self._surfaces, state.weather)
            self._weather = state.weather

    def _visible(self, view: CameraView) -> tuple[Floats, NDArray[np.int32]]:
        """Return nearness and triangle of each pixel, in buffers kept for the view's size."""
        size = (view.height, view.width)
        if size not in self._buffers:
            if len(self._buffers) >= KEPT_SIZES:
                self._buffers.pop(next(iter(self._buffers)))
            self._buffers[size] = np.empty(size, np.float32), np.empty(size, np.int32)
        self._stage.draw(window_of(view, self.look.draw_distance), *self._buffers[size])
        return self._buffers[size]

    def _lamp_rows(self, state: SceneState, eye: NDArray[np.float64]) -> Floats:
        """Return the nearest lights that are on (L, 12)."""
        if not sky.lamps_on(state.weather):
            return np.zeros((0, 12), np.float32)
        lit = [*self._street_lamps, *lamps.headlights(state.instances, self._models)]
        rows = [lamp.row() for lamp in lamps.nearest(lit, eye, MAX_LAMPS)]
        return np.stack(rows) if rows else np.zeros((0, 12), np.float32)


def in_palette(surfaces: Surfaces, look: Look) -> Surfaces:
    """Return the surfaces with the base colours and textures of a look's palette."""
    if look.palette == NATURAL:
        return surfaces
    palette = np.asarray(look.palette, np.float32)

    def mixed(roots: NDArray[np.generic]) -> Floats:  # (..., 3) square roots of linear light
        return np.asarray(np.sqrt(np.square(roots.astype(np.float32)) @ palette.T))

    table, texels = surfaces.table.copy(), surfaces.texels.copy()
    table[:, RED : RED + 3] = mixed(table[:, RED : RED + 3])
    texels[:, :3] = np.minimum(mixed(texels[:, :3]), 255.0).round()
    return surfaces._replace(table=table, texels=texels, mean=mixed(surfaces.mean))


def lit_surfaces(surfaces: Surfaces, weather: Weather) -> Surfaces:
    """Return the surfaces with the town's own lamps and windows on or off."""
    table = surfaces.table.copy()
    town = table[: len(surfaces.level)]
    town[:, GLOW : GLOW + 3] *= 1.0 if sky.lamps_on(weather) else 0.0
    return surfaces._replace(table=table)
