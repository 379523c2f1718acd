"""The photoreal look: the same triangles, path traced by Mitsuba and denoised.

Mitsuba is right-handed: y is mirrored on the way in, and nothing else differs, so every pixel of a
view shows the same point as the rasteriser's.
"""

from __future__ import annotations

import logging
import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from realmaster_live.minitown.raster import lamps, sky
from realmaster_live.minitown.raster.overlays import rain_streaks
from realmaster_live.minitown.raster.pose import SWITCHED, part_to_world
from realmaster_live.minitown.raster.rasteriser import Rasteriser
from realmaster_live.minitown.scene import (
    CameraView,
    Floats,
    Mesh,
    SceneState,
    StaticScene,
    Weather,
)
from realmaster_live.minitown.truth import brdfs, daylight, film
from realmaster_live.minitown.truth.snow import snow_flakes, under_snow
from realmaster_live.minitown.truth.weathering import weathered
from realmaster_live.optional import require

log = logging.getLogger(__name__)
EDITION = 2  # of the photographs' look; a clip's JSON file names it, clips of 1 do not
MIRROR = np.diag([1.0, -1.0, 1.0])
OLDEST_LLVM = 16  # Mitsuba's generated code makes older ones abort the process
MAX_DEPTH = 5  # bounces that a shaded street needs
FAR_M = 2000.0
DRAW_DISTANCE_M = 300.0
MAX_LAMPS = 14
LAMP_POWER = 0.55  # radiant intensity of a lamp of gain 1
SNOWFALL = 0.6  # share of the densest
Colour = tuple[float, float, float]


@dataclass(frozen=True, kw_only=True, order=True)
class Group:
    """What can be one mesh: a textured material, a glowing one, or ("") all that is plain."""

    material: str
    lit: bool = False
    wetness: float = 0.0


def newest_llvm() -> Path | None:
    """Return the newest usable libLLVM among the system's libraries."""
    found = []
    for path in Path("/usr/lib").glob("*/libLLVM*.so*"):
        version = re.search(r"libLLVM(?:-|\.so\.)(\d+)", path.name)
        if version and int(version[1]) >= OLDEST_LLVM:
            found.append((int(version[1]), path))
    return max(found)[1] if found else None


def load_mitsuba() -> Any:
    """Return mitsuba in its fastest variant that runs here."""
    if "DRJIT_LIBLLVM_PATH" not in os.environ and (llvm := newest_llvm()):
        os.environ["DRJIT_LIBLLVM_PATH"] = str(llvm)
    mi = require("mitsuba", extra="truth")
    if mi.variant() is None:
        drjit = require("drjit", extra="truth")
        if drjit.has_backend(drjit.JitBackend.CUDA):
            mi.set_variant("cuda_ad_rgb")
        elif "DRJIT_LIBLLVM_PATH" in os.environ:
            mi.set_variant("llvm_ad_rgb")
        else:
            log.warning(
                "expected libLLVM 16 or newer under /usr/lib, found none: path tracing is about "
                "three times slower; install libllvm19 or set DRJIT_LIBLLVM_PATH"
            )
            mi.set_variant("scalar_rgb")
        mi.set_log_level(mi.LogLevel.Error)  # it warns of single bad samples, which are dropped
    return mi


def pixel_rays(view: CameraView) -> NDArray[np.float64]:
    """Return the ray (H, W, 3) through each pixel's middle in the camera's axes, 1 m ahead."""
    focal = view.width / 2 / np.tan(np.radians(view.fov_deg) / 2)
    y, x = np.mgrid[: view.height, : view.width]
    right = (x + 0.5 - view.width / 2) / focal
    up = (view.height / 2 - y - 0.5) / focal
    return np.stack([np.ones(x.shape), right, up], axis=-1)


def lengths(view: CameraView) -> Floats:
    """Return metres along the ray for each metre of depth (H, W)."""
    return np.asarray(np.linalg.norm(pixel_rays(view), axis=-1), np.float32)


class PathTracer:
    """Path traces views of one town. Builds what stands still once; not for two threads."""

    def __init__(
        self, scene: StaticScene, *, spp: int = 16, denoise: bool = True, snow: bool = False
    ) -> None:
        """Take the town; `spp` is samples a pixel, `denoise` False keeps their grain.

        With `snow` it lies on the ground and falls.
        """
        self._mi = load_mitsuba()
        self._oidn = require("pyoidn", extra="truth") if denoise else None
        self._snow = snow
        scene = weathered(scene)
        self._scene = scene = under_snow(scene) if snow else scene
        self._spp = spp
        self._guide = Rasteriser(scene, shadow_size=0)
        self._integrator = self._mi.load_dict(
            {"type": "path", "max_depth": MAX_DEPTH, "rr_depth": 3}
        )
        self._street_lamps = lamps.street_lamps(scene)
        self._wetness = -1.0
        self._lamps_on = False
        self._weather: Weather | None = None

    def render(self, state: SceneState, view: CameraView) -> NDArray[np.uint8]:
        """Return the photograph (H, W, 3) uint8 sRGB of one view; the same every time."""
        return self.with_precipitation(self.calm(state, view), state)

    def calm(self, state: SceneState, view: CameraView) -> NDArray[np.uint8]:
        """Return the photograph (H, W, 3) as it is while no drop or flake is in the air."""
        linear, distance = self.radiance(state, view)
        return film.develop(film.through_air(linear, distance, state.weather), state.weather)

    def with_precipitation(self, calm: NDArray[np.uint8], state: SceneState) -> NDArray[np.uint8]:
        """Return a calm photograph with what falls at the moment of a state."""
        picture = calm.copy()
        if state.weather.precipitation > 0:
            rain_streaks(picture, state.weather.precipitation / 100.0, state.frame, 0.16)
        if self._snow:
            snow_flakes(picture, SNOWFALL, state.frame)
        return picture

    def radiance(self, state: SceneState, view: CameraView) -> tuple[Floats, Floats]:
        """Return denoised linear light (H, W, 3) and ray length (H, W) metres, inf at sky."""
        mi = self._mi
        scene = self._build(state, view)
        image = np.array(
            mi.render(scene, integrator=self._integrator, spp=self._spp, seed=1), np.float32
        )
        image = np.nan_to_num(image, nan=0.0, posinf=0.0, neginf=0.0)
        colour = np.ascontiguousarray(np.clip(image[..., :3], 0.0, 60.0))
        albedo, normals, depth = self._guide.guides(state, view)
        if self._oidn is not None:
            colour = self._oidn.denoise(
                colour, albedo=np.clip(albedo, 0.0, 1.0), normal=normals, hdr=True
            )
        return colour, depth * lengths(view)

    def depth(self, state: SceneState, view: CameraView) -> Floats:
        """Return depth along the optical axis (H, W) at pixel centres, metres, inf at sky."""
        mi = self._mi
        scene = self._build(state, view)
        rays = pixel_rays(view).reshape(-1, 3)
        length = np.linalg.norm(rays, axis=1)
        to_world = MIRROR @ view.cam_to_world[:3, :3]
        directions = (rays / length[:, None]) @ to_world.T
        origin = MIRROR @ view.cam_to_world[:3, 3]
        if mi.variant().startswith("scalar"):
            reach = np.array(
                [scene.ray_intersect(mi.Ray3f(origin.tolist(), d.tolist())).t for d in directions]
            )
        else:
            ray = mi.Ray3f(mi.Point3f(*origin.tolist()), mi.Vector3f(directions.T))
            reach = np.array(scene.ray_intersect(ray).t)
        return np.asarray((reach / length).reshape(view.height, view.width), np.float32)

    def _build(self, state: SceneState, view: CameraView) -> Any:
        """Return Mitsuba's scene of one frame; only what moves is made anew."""
        weather = state.weather
        wetness = max(weather.wetness, weather.precipitation_deposits, weather.precipitation)
        wetness = round(min(wetness, 100.0) / 5.0) / 20.0
        lamps_on = sky.lamps_on(weather)
        if lamps_on:
            state = self._with_headlights(state)
        if wetness != self._wetness or lamps_on != self._lamps_on:
            self._wetness, self._lamps_on = wetness, lamps_on
            self._bsdfs: dict[tuple[str, float], Any] = {}
            self._static = self._static_meshes(lamps_on)
        if weather != self._weather:
            self._weather, self._sky = weather, self._sky_emitters(weather)
        described = {
            "type": "scene",
            "sensor": self._sensor(view),
            **self._static,
            **self._sky,
            **self._moving_meshes(state, view),
        }
        if lamps_on:
            described |= self._spots(state, view)
        return self._mi.load_dict(described)

    def _with_headlights(self, state: SceneState) -> SceneState:
        """Return the state with every headlight on, whatever weather was simulated."""
        having = {
            name
            for name, model in self._scene.models.items()
            if any(mesh.part == "head_light" for mesh in model.meshes)
        }
        instances = tuple(
            replace(each, lit=each.lit | {"head_light"}) if each.model in having else each
            for each in state.instances
        )
        return replace(state, instances=instances)

    def _bsdf(self, group: Group) -> Any:
        """Return the kept BSDF of a group."""
        plain = group.lit and self._scene.materials[group.material].texture is None
        key = ("" if plain else group.material, group.wetness)
        if key not in self._bsdfs:
            material = self._scene.materials.get(key[0])
            self._bsdfs[key] = (
                brdfs.surface(self._mi, material, wetness=group.wetness)
                if material
                else brdfs.by_traits(self._mi)
            )
        return self._bsdfs[key]

    def _meshes(
        self,
        prefix: str,
        groups: dict[Group, list[brdfs.Piece]],
        eye: NDArray[np.float64] | None = None,
    ) -> dict[str, Any]:
        """Return one Mitsuba mesh a group, in the groups' own order."""
        made = {}
        for number, group in enumerate(sorted(groups)):
            lamp = self._scene.materials[group.material] if group.lit else None
            name = f"{prefix}_{number}"
            made[name] = brdfs.mesh(
                self._mi,
                name,
                groups[group],
                self._bsdf(group),
                emitter=brdfs.glow(self._mi, lamp) if lamp else None,
                eye=eye if lamp else None,
            )
        return made

    def _group(
        self, mesh: Mesh, *, lit: bool, wetness: float, paint: Colour
    ) -> tuple[Group, tuple[float, ...]]:
        """Return what a mesh can be drawn with, and its traits where it has no texture."""
        material = self._scene.materials[mesh.material]
        if material.cutout:
            wetness = 0.0
        textured = material.texture is not None or material.roughness_texture is not None
        if textured or material.cutout:
            return Group(material=mesh.material, lit=lit, wetness=wetness), ()
        colour = paint if material.paint else material.base_color
        group = Group(material=mesh.material if lit else "", lit=lit)
        return group, brdfs.traits(material, colour=colour, wetness=wetness)

    def _static_meshes(self, lamps_on: bool) -> dict[str, Any]:
        """Return the town; only what lies flat stays wet."""
        groups: dict[Group, list[brdfs.Piece]] = {}
        for mesh in self._scene.meshes:
            material = self._scene.materials[mesh.material]
            flat = bool(np.mean(np.abs(mesh.normals[:, 2])) > 0.8)
            group, traits = self._group(
                mesh,
                lit=lamps_on and brdfs.lights_up(material),
                wetness=self._wetness if flat else 0.0,
                paint=material.base_color,
            )
            groups.setdefault(group, []).append(
                brdfs.Piece(
                    positions=mesh.positions,
                    normals=mesh.normals,
                    uvs=mesh.uvs,
                    triangles=mesh.triangles,
                    traits=traits,
                )
            )
        return self._meshes("town", groups)

    def _moving_meshes(self, state: SceneState, view: CameraView) -> dict[str, Any]:
        """Return what moves."""
        eye = view.cam_to_world[:3, 3]
        groups: dict[Group, list[brdfs.Piece]] = {}
        for instance in state.instances:
            if np.linalg.norm(instance.model_to_world[:3, 3] - eye) > DRAW_DISTANCE_M:
                continue
            model = self._scene.models[instance.model]
            places: dict[str, NDArray[np.float64]] = {}
            for mesh in model.meshes:
                if mesh.part not in places:
                    places[mesh.part] = part_to_world(mesh.part, model, instance)
                place = places[mesh.part].astype(np.float32)
                lit = mesh.part in SWITCHED and mesh.part in instance.lit
                group, traits = self._group(mesh, lit=lit, wetness=0.0, paint=instance.paint)
                groups.setdefault(group, []).append(
                    brdfs.Piece(
                        positions=mesh.positions @ place[:3, :3].T + place[:3, 3],
                        normals=mesh.normals @ place[:3, :3].T,
                        uvs=mesh.uvs,
                        triangles=mesh.triangles,
                        traits=traits,
                    )
                )
        return self._meshes("moving", groups, eye)

    def _sky_emitters(self, weather: Weather) -> dict[str, Any]:
        """Return the sky's map, turned from y up to z up, and the sun."""
        mi = self._mi
        made = {
            "sky": mi.load_dict(
                {
                    "type": "envmap",
                    "bitmap": mi.Bitmap(daylight.environment(weather)),
                    "to_world": mi.ScalarTransform4f().rotate([1, 0, 0], 90),
                }
            )
        }
        light = daylight.sun_irradiance(weather)
        if light.max() > 1e-3:
            made["sun"] = mi.load_dict(
                {
                    "type": "directional",
                    "direction": (-MIRROR @ sky.sun_direction(weather)).tolist(),
                    "irradiance": {"type": "rgb", "value": light.tolist()},
                }
            )
        return made

    def _spots(self, state: SceneState, view: CameraView) -> dict[str, Any]:
        """Return the nearest street lamps and headlights as spot lights."""
        mi = self._mi
        lit = [
            *self._street_lamps,
            *lamps.headlights(state.instances, self._scene.models),
        ]
        made = {}
        for number, lamp in enumerate(lamps.nearest(lit, view.cam_to_world[:3, 3], MAX_LAMPS)):
            position, direction = MIRROR @ lamp.position, MIRROR @ lamp.direction
            angle = float(np.degrees(np.arccos(lamp.cone)))
            aim = mi.ScalarTransform4f().look_at(
                origin=position.tolist(),
                target=(position + direction).tolist(),
                up=[1.0, 0.0, 0.0] if abs(direction[2]) > 0.9 else [0.0, 0.0, 1.0],
            )
            intensity = [float(c) * lamp.gain * LAMP_POWER for c in lamp.colour]
            made[f"lamp_{number}"] = {
                "type": "spot",
                "to_world": aim,
                "cutoff_angle": angle,
                "beam_width": 0.6 * angle,
                "intensity": {"type": "rgb", "value": intensity},
            }
        return made

    def _sensor(self, view: CameraView) -> dict[str, Any]:
        """Return the pinhole: Mitsuba's camera has x to the left, y up, and looks along z."""
        mi = self._mi
        pose = MIRROR @ view.cam_to_world[:3]
        to_world = np.eye(4)
        to_world[:3] = np.stack([-pose[:, 1], pose[:, 2], pose[:, 0], pose[:, 3]], axis=1)
        return {
            "type": "perspective",
            "fov": float(view.fov_deg),
            "fov_axis": "x",
            "near_clip": 0.05,
            "far_clip": FAR_M,
            "to_world": mi.ScalarTransform4f(to_world),
            "film": {
                "type": "hdrfilm",
                "width": view.width,
                "height": view.height,
                "pixel_format": "rgb",
                "rfilter": {"type": "box"},
            },
            "sampler": {"type": "independent", "sample_count": self._spp},
        }
