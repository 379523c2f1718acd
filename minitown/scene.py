"""What a picture of the town is made of; both renderers draw exactly this.

Everything in minitown is in CARLA's axes: left-handed, x forward, y right, z up, metres; rotations
as CARLA's pitch, yaw, roll in degrees. Only the bridges and the path tracer convert.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True)
class Material:
    """A surface: sRGB base colour times an optional texture, and how it reflects.

    Attributes:
        base_color: sRGB in 0..1.
        roughness: 0 mirror .. 1 matt. metallic: 0 or 1. clearcoat: 0..1, car paint.
        texture: (n, n, 3) uint8 sRGB, n a power of two, tiling; None for a plain colour.
        roughness_texture: (n, n) uint8, replaces `roughness` where given (wet or glass parts).
        emission: sRGB radiance of a lamp, 0 where it does not glow.
        paint: True where an instance's own paint colour replaces `base_color`.
        cutout: True for leaf cards seen from both sides, lit through (foliage).
    """

    name: str
    base_color: tuple[float, float, float] = (1.0, 1.0, 1.0)
    roughness: float = 0.9
    metallic: float = 0.0
    clearcoat: float = 0.0
    texture: NDArray[np.uint8] | None = None
    roughness_texture: NDArray[np.uint8] | None = None
    emission: tuple[float, float, float] = (0.0, 0.0, 0.0)
    paint: bool = False
    cutout: bool = False


@dataclass(frozen=True, kw_only=True)
class Mesh:
    """Triangles of one material and one semantic class.

    Attributes:
        positions: (V, 3) float32 metres. normals: (V, 3) float32 unit. uvs: (V, 2) float32.
        triangles: (T, 3) int32 into the vertices; winding carries no meaning, all are two-sided.
        material: name of a Material. semantic: CARLA's class number.
        instance: id of the object that the triangles belong to, 0 for ground and the like.
        part: "" for the body, else a moving or switching part of a Model: "wheel_fl", "wheel_fr",
            "wheel_rl", "wheel_rr", "leg_l", "leg_r", "arm_l", "arm_r", "brake_light", "head_light",
            "lamp_red", "lamp_yellow", "lamp_green".
    """

    positions: Floats
    normals: Floats
    uvs: Floats
    triangles: NDArray[np.int32]
    material: str
    semantic: int
    instance: int = 0
    part: str = ""


@dataclass(frozen=True, kw_only=True)
class Model:
    """A thing that moves or switches: a car, a walker, a traffic light head.

    The origin is on the ground in the middle, x forward. `pivots` gives, for each moving part, the
    (3,) point that it turns about, in model axes. `extent` is CARLA's half size (x, y, z), metres.
    """

    name: str
    meshes: tuple[Mesh, ...]
    extent: tuple[float, float, float]
    pivots: Mapping[str, tuple[float, float, float]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Instance:
    """One Model placed in the world for one frame.

    Attributes:
        actor_id: the actor's id, also its instance label.
        model: name of a Model.
        model_to_world: (4, 4) float64, CARLA axes, metres.
        paint: sRGB 0..1 of the parts whose material has `paint`.
        wheel_spin: radians turned so far; wheel_steer: radians, positive to the right.
        stride: radians of the walking cycle; 0 stands still.
        lit: parts that glow now, e.g. {"brake_light", "head_light"} or {"lamp_red"}.
    """

    actor_id: int
    model: str
    model_to_world: NDArray[np.float64]
    paint: tuple[float, float, float] = (0.6, 0.6, 0.6)
    wheel_spin: float = 0.0
    wheel_steer: float = 0.0
    stride: float = 0.0
    lit: frozenset[str] = frozenset()


@dataclass(frozen=True, kw_only=True)
class Weather:
    """CARLA's fourteen weather parameters, in the order of its wire layout; angles in degrees."""

    cloudiness: float = 10.0
    precipitation: float = 0.0
    precipitation_deposits: float = 0.0
    wind_intensity: float = 10.0
    sun_azimuth_angle: float = 150.0
    sun_altitude_angle: float = 45.0
    fog_density: float = 0.0
    fog_distance: float = 0.75
    fog_falloff: float = 0.1
    wetness: float = 0.0
    scattering_intensity: float = 1.0
    mie_scattering_scale: float = 0.03
    rayleigh_scattering_scale: float = 0.0331
    dust_storm: float = 0.0


@dataclass(frozen=True, kw_only=True)
class SceneState:
    """Everything that changes from frame to frame: with the town's seed it is the whole picture."""

    town_seed: int
    frame: int
    time_s: float
    weather: Weather
    instances: tuple[Instance, ...]


@dataclass(frozen=True, kw_only=True)
class CameraView:
    """A pinhole camera in CARLA's axes: it looks along its own +x, y to the right, z up.

    Attributes:
        cam_to_world: (4, 4) float64, metres. fov_deg: horizontal.
    """

    cam_to_world: NDArray[np.float64]
    width: int
    height: int
    fov_deg: float


@dataclass(frozen=True, kw_only=True)
class StaticScene:
    """The town that never moves, with every material and every model that may stand in it.

    `poses` gives (4, 4) metres, an object's own axes to the world, by the object's number.
    """

    seed: int
    meshes: tuple[Mesh, ...]
    materials: Mapping[str, Material]
    models: Mapping[str, Model]
    poses: Mapping[int, NDArray[np.float64]] = field(default_factory=dict)
