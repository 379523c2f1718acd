"""A street small enough to draw in a test: ground, houses, a lamp, a car with wheels."""

import numpy as np
import pytest

from realmaster_live.minitown.scene import (
    CameraView,
    Instance,
    Material,
    Mesh,
    Model,
    SceneState,
    StaticScene,
    Weather,
)

ROAD, BUILDING, VEHICLE, POLE = 1, 3, 14, 6
CORNERS = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)], np.float64)
FACES = [(0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3)]


def box(low, high, material, semantic, instance=0, part=""):
    """A closed box with its own normals for each face."""
    low, high = np.asarray(low, np.float64), np.asarray(high, np.float64)
    positions = np.concatenate([CORNERS[list(face)] for face in FACES]) * (high - low) + low
    normals = []
    for face in FACES:
        a, b, c, _ = CORNERS[list(face)]
        normal = np.cross(b - a, c - a)
        outward = CORNERS[list(face)].mean(0) - 0.5
        normals += [normal * np.sign(normal @ outward)] * 4
    quads = np.arange(6)[:, None] * 4
    triangles = np.concatenate([quads + np.array(half) for half in ((0, 1, 2), (0, 2, 3))])
    uvs = np.tile([[0, 0], [1, 0], [1, 1], [0, 1]], (6, 1)) * 4.0
    return Mesh(
        positions=positions.astype(np.float32),
        normals=np.asarray(normals, np.float32),
        uvs=uvs.astype(np.float32),
        triangles=triangles.astype(np.int32),
        material=material,
        semantic=semantic,
        instance=instance,
        part=part,
    )


def checks(n=64):
    grid = np.indices((n, n)).sum(0) // 8 % 2
    return np.repeat((60 + 120 * grid[..., None]).astype(np.uint8), 3, axis=-1)


def wheel(x, y, part):
    return box((x - 0.3, y - 0.1, 0.0), (x + 0.3, y + 0.1, 0.6), "tyre", VEHICLE, part=part)


@pytest.fixture(scope="session")
def street():
    materials = [
        Material(name="asphalt", base_color=(0.3, 0.3, 0.32), roughness=0.9),
        Material(name="brick", base_color=(0.9, 0.7, 0.6), texture=checks()),
        Material(name="paint", paint=True, roughness=0.3, clearcoat=1.0),
        Material(name="tyre", base_color=(0.05, 0.05, 0.05)),
        Material(name="red lamp", base_color=(0.4, 0.0, 0.0), emission=(1.0, 0.05, 0.03)),
        Material(name="lamp", base_color=(0.9, 0.9, 0.8), emission=(1.0, 0.9, 0.7)),
        Material(name="leaf", base_color=(0.2, 0.5, 0.1), cutout=True),
    ]
    ground = box((-60, -60, -1), (160, 60, 0), "asphalt", ROAD)
    houses = []
    for number in range(8):
        x, low = 10 + 24 * (number // 2), 9 if number % 2 else -15
        houses.append(
            box((x, low, 0), (x + 16, low + 6, 12), "brick", BUILDING, instance=100 + number)
        )
    lamp = box((14, 5, 6), (14.4, 5.4, 6.3), "lamp", POLE, instance=50)
    tree = box((20, -7.5, 2), (22, -6, 4), "leaf", 9, instance=51)
    places = {
        "wheel_fl": (1.2, -0.8, 0.3),
        "wheel_fr": (1.2, 0.8, 0.3),
        "wheel_rl": (-1.2, -0.8, 0.3),
        "wheel_rr": (-1.2, 0.8, 0.3),
    }
    car = Model(
        name="car",
        meshes=(
            box((-2, -0.9, 0.3), (2, 0.9, 1.4), "paint", VEHICLE),
            box((-2.05, -0.8, 0.6), (-2.0, 0.8, 0.8), "red lamp", VEHICLE, part="brake_light"),
            *(wheel(x, y, part) for part, (x, y, _) in places.items()),
        ),
        extent=(2.0, 0.9, 0.7),
        pivots=places,
    )
    return StaticScene(
        seed=0,
        meshes=(ground, *houses, lamp, tree),
        materials={material.name: material for material in materials},
        models={"car": car},
    )


def pose(x=0.0, y=0.0, z=0.0, yaw_deg=0.0):
    """A CARLA pose (4, 4)."""
    c, s = np.cos(np.radians(yaw_deg)), np.sin(np.radians(yaw_deg))
    return np.array([[c, -s, 0, x], [s, c, 0, y], [0, 0, 1, z], [0, 0, 0, 1]], np.float64)


def state_of(*instances, weather=None, frame=1):
    return SceneState(
        town_seed=0,
        frame=frame,
        time_s=frame * 0.05,
        weather=weather or Weather(),
        instances=tuple(instances),
    )


@pytest.fixture
def car():
    """Makes the one car, by default 14 m ahead."""

    def make(x=14.0, y=1.0, **kwargs):
        kwargs.setdefault("paint", (0.7, 0.1, 0.1))
        yaw = kwargs.pop("yaw_deg", 0.0)
        return Instance(actor_id=7, model="car", model_to_world=pose(x, y, yaw_deg=yaw), **kwargs)

    return make


@pytest.fixture
def frame():
    """Makes a SceneState of instances."""
    return state_of


@pytest.fixture
def camera():
    """Makes a camera 1.7 m above the road at x, y."""

    def make(x=0.0, y=0.0, z=1.7, yaw_deg=0.0, width=96, height=54, fov_deg=80.0):
        return CameraView(
            cam_to_world=pose(x, y, z, yaw_deg), width=width, height=height, fov_deg=fov_deg
        )

    return make
