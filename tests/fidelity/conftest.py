"""A drive through a held-out town with all its labels, and what the shipped model makes of it."""

import pickle
from dataclasses import dataclass

import numpy as np
import pytest

from realmaster_live.engines.onnx_engine import OnnxEngine
from realmaster_live.frames.chunk import Chunk
from realmaster_live.frames.classes import CLASS_IDS
from realmaster_live.frames.objects import SceneObject
from realmaster_live.minitown.models.town import build_town
from realmaster_live.minitown.plan.network import make_network
from realmaster_live.minitown.raster.rasteriser import Rasteriser
from realmaster_live.minitown.truth.drives import drive, plan_drive
from realmaster_live.minitown.truth.lights_seen import is_readable, lights_seen

WIDTH, HEIGHT, FRAMES = 512, 288, 4
TOWN, NUMBER = 1014, 0  # a red light, two people, a car, a cyclist


@dataclass(frozen=True, kw_only=True)
class Drive:
    """Chunks as they are captured, and for each frame the lights whose lamp can be read."""

    chunks: list[Chunk]
    lights: list[list[dict]]


def light_object(instance) -> SceneObject:
    lit = [name.removeprefix("lamp_") for name in instance.lit if name.startswith("lamp_")]
    return SceneObject(
        object_id=instance.actor_id,
        class_id=CLASS_IDS["traffic_light"],
        type_id="traffic.traffic_light",
        size=np.ones(3),
        object_to_world=np.asarray(instance.model_to_world, np.float64),
        velocity=np.zeros(3),
        light=lit[0],
        mask_id=instance.actor_id & 0xFFFF,
    )


def draw(count: int) -> Drive:
    """Draw so many chunks of the drive."""
    scene = build_town(make_network(TOWN))
    rasteriser = Rasteriser(scene)
    frames, lights = [], []
    states = drive(
        plan_drive(TOWN, NUMBER), frames=count * FRAMES, width=WIDTH, height=HEIGHT, dt=0.05
    )
    for state, view in states:
        drawn = rasteriser.render(state, view)
        seen = lights_seen(scene.models, state, view, drawn.depth)
        lights.append([light for light in seen if is_readable(light)])
        known = tuple(
            light_object(each)
            for each in state.instances
            if {"lamp_red", "lamp_yellow", "lamp_green"} & set(each.lit)
        )
        things = drawn.semantic.astype(np.int32) << 16 | (drawn.instance & 0xFFFF)
        frames.append(
            {
                "image": drawn.rgb,
                "depth": drawn.depth,
                "semantic": drawn.semantic,
                "instance": np.where(drawn.instance > 0, things, 0).astype(np.int32),
                "objects": known,
            }
        )
    groups = [frames[index * FRAMES : (index + 1) * FRAMES] for index in range(count)]
    chunks = [
        Chunk(
            index=index,
            camera="front",
            frames=np.stack([frame["image"] for frame in group]),
            frame_ids=np.arange(FRAMES) + index * FRAMES,
            timestamps=np.arange(FRAMES) / 20.0,
            captured_at=np.zeros(FRAMES),
            intrinsics=np.eye(3),
            cam_to_world=np.tile(np.eye(4), (FRAMES, 1, 1)),
            labels={
                name: np.stack([frame[name] for frame in group])
                for name in ("depth", "semantic", "instance")
            },
            objects=tuple(frame["objects"] for frame in group),
        )
        for index, group in enumerate(groups)
    ]
    return Drive(chunks=chunks, lights=lights)


@pytest.fixture(scope="session")
def town_drive(made_once) -> Drive:
    """Two chunks as they are captured."""

    def make(folder):
        drawn = draw(2)
        (folder / "drive").write_bytes(pickle.dumps((drawn.chunks, drawn.lights)))

    chunks, lights = pickle.loads((made_once("fidelity-drive", make) / "drive").read_bytes())
    return Drive(chunks=chunks, lights=lights)


@pytest.fixture(scope="session")
def realized(town_drive, made_once) -> list[Chunk]:
    """The same, realized by the shipped model."""

    def make(folder):
        with OnnxEngine(width=WIDTH, height=HEIGHT, threads=1) as engine:
            chunks = [engine.realize(chunk) for chunk in town_drive.chunks]
        (folder / "chunks").write_bytes(pickle.dumps(chunks))

    return pickle.loads((made_once("fidelity-realized", make) / "chunks").read_bytes())
