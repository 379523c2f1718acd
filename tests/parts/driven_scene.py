"""A street of boxes that is driven through: every label follows from the same rays."""

import functools
import time
from dataclasses import replace

import numpy as np

from realmaster_live import Chunk, ChunkSpec, SourceInfo
from realmaster_live.frames.classes import CLASS_IDS, PALETTE
from realmaster_live.frames.objects import SceneObject
from realmaster_live.frames.trust import FrameTrust
from realmaster_live.recording import About, Recorder

SIZE = (160, 96)  # width, height
FPS = 20
FOV_DEG = 70.0
EGO_SPEED = 8.0  # m/s
YAWS_DEG = {"front": 0.0, "front_left": 55.0, "back": 180.0}

# number, class, kind, size, where it starts, heading in degrees, speed, light, fixed
THINGS = (
    (11, "car", "vehicle.tesla.model3", (4.8, 2.0, 1.5), (17.0, 1.0, 0.75), 0, 10.0, "", False),
    (12, "car", "vehicle.police.dodge", (5.0, 2.1, 1.6), (24.0, -3.5, 0.8), 90, 0.0, "", False),
    (13, "car", "parked car", (4.0, 1.8, 1.4), (9.0, 4.2, 0.7), 180, 0.0, "", True),
    (14, "pedestrian", "walker.pedestrian.0001", (0.6, 0.6, 1.8), (11.0, -3.0, 0.9), 30, 1.4, "", False),  # noqa: E501
    (15, "bicycle", "vehicle.bh.crossbike", (1.7, 0.6, 1.7), (9.0, -1.6, 0.85), 10, 5.0, "", False),
    (16, "traffic_light", "traffic.traffic_light", (0.6, 0.6, 1.6), (22.0, 4.0, 3.6), 0, 0.0, "red", False),  # noqa: E501
    (17, "truck", "vehicle.carlamotors.carlacola", (6.0, 2.6, 3.0), (-11.0, -0.5, 1.5), 0, 8.0, "", False),  # noqa: E501
)  # fmt: skip

# a straight road along x with a lane of 3.5 m on each side of a yellow line at y = 1.75
LANE = (
    '<lane id="{}" type="driving" level="false"><width sOffset="0" a="3.5" b="0" c="0" d="0"/>'
    '<roadMark sOffset="0" type="solid" color="white" width="0.15"/></lane>'
)
ROADS = f"""<?xml version="1.0"?>
<OpenDRIVE><header revMajor="1" revMinor="4" name="street"/>
<road name="street" length="200" id="1" junction="-1"><link/><planView>
<geometry s="0" x="-50" y="1.75" hdg="0" length="200"><line/></geometry></planView>
<lanes><laneSection s="0"><left>{LANE.format(1)}</left><center>
<lane id="0" type="none" level="false">
<roadMark sOffset="0" type="broken" color="yellow" width="0.15"/></lane></center>
<right>{LANE.format(-1)}</right></laneSection></lanes></road></OpenDRIVE>
"""


def pose(yaw_deg, place):
    turn = np.radians(yaw_deg)
    matrix = np.eye(4)
    matrix[:2, :2] = [[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]
    matrix[:3, 3] = place
    return matrix


def objects_at(seconds):
    found = []
    for number, kind, type_id, size, start, heading, speed, light, fixed in THINGS:
        turned = pose(heading, (0, 0, 0))
        velocity = turned[:3, 0] * speed
        found.append(
            SceneObject(
                object_id=number,
                class_id=CLASS_IDS[kind],
                type_id=type_id,
                size=np.array(size),
                object_to_world=pose(heading, np.array(start) + velocity * seconds),
                velocity=velocity,
                light=light,
                fixed=fixed,
                mask_id=number + 100,
            )
        )
    return tuple(found)


def ego_at(seconds):
    """A slow turn to the left, on the ground."""
    return pose(2.0 * seconds, (EGO_SPEED * seconds, 0.1 * seconds, 0.0))


def intrinsics(size=SIZE):
    width, height = size
    focal = width / (2 * np.tan(np.radians(FOV_DEG) / 2))
    return np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])


def mount(camera):
    """Camera to ego: 1.6 m above the ground, half a metre to where it looks."""
    axes = np.array([[0.0, 0, 1], [-1, 0, 0], [0, -1, 0]])  # a camera that looks forward
    turned = pose(YAWS_DEG[camera], (0, 0, 1.6))
    turned[:3, 3] += 0.5 * turned[:3, 0]
    turned[:3, :3] = turned[:3, :3] @ axes
    return turned


@functools.lru_cache(maxsize=256)
def look(camera, seconds, size=SIZE):
    """Return cam_to_world, picture and labels, by slabs along every pixel's ray.

    Drawn once: the arrays are read-only.
    """
    width, height = size
    cam_to_world = ego_at(seconds) @ mount(camera)
    rows, columns = np.mgrid[0:height, 0:width] + 0.5
    rays = np.stack([columns, rows, np.ones_like(rows)], -1) @ np.linalg.inv(intrinsics(size)).T
    rays = rays @ cam_to_world[:3, :3].T  # of length one along the optical axis
    origin = cam_to_world[:3, 3]
    depth = np.full((height, width), 1000.0)
    semantic = np.full((height, width), CLASS_IDS["sky"], np.uint8)
    instance = np.zeros((height, width), np.int32)
    with np.errstate(divide="ignore", invalid="ignore"):
        ground = -origin[2] / rays[..., 2]
    below = (ground > 0) & (ground < 1000)
    depth[below], semantic[below] = ground[below], CLASS_IDS["road"]
    for thing in objects_at(seconds):
        turn, place = thing.object_to_world[:3, :3], thing.object_to_world[:3, 3]
        start, along = (origin - place) @ turn, rays @ turn
        with np.errstate(divide="ignore", invalid="ignore"):
            ends = np.stack([(s * thing.size / 2 - start) / along for s in (-1, 1)])
        enters, leaves = ends.min(0).max(-1), ends.max(0).min(-1)
        hit = (leaves >= enters) & (enters > 0) & (enters < depth)
        depth[hit] = enters[hit]
        rider = hit & ((start + enters[..., None] * along)[..., 2] > 0)
        kinds = np.full(hit.shape, thing.class_id)
        if thing.class_id == CLASS_IDS["bicycle"]:
            kinds[rider] = CLASS_IDS["rider"]
        semantic[hit] = kinds[hit]
        instance[hit] = kinds[hit] << 16 | thing.mask_id
    shade = np.clip(1.1 - depth / 60, 0.5, 1.0)[..., None]
    picture = (PALETTE[semantic] * shade).astype(np.uint8)
    labels = {
        "depth": depth.astype(np.float32),
        "semantic": semantic,
        "instance": instance,
    }
    for array in (cam_to_world, picture, *labels.values()):
        array.setflags(write=False)
    return cam_to_world, picture, labels


def realized(picture):
    """What stands for an engine's picture: the render in warmer, darker colours."""
    return (picture * [0.9, 0.75, 0.6] + [10, 20, 30]).astype(np.uint8)


def driven_chunk(index, camera="front", *, frames=4, size=SIZE, lost=0, labels=None, trust=None):
    """Chunk `index` of a drive at 20 fps; `lost` frames are missing before it.

    `trust` is the score of each frame, judged only where it is given.
    """
    numbers = np.arange(index * frames, (index + 1) * frames) + lost
    seconds = numbers / FPS
    seen = [look(camera, second, size) for second in seconds]
    rendered = np.stack([picture for _, picture, _ in seen])
    kept = ("depth", "semantic", "instance") if labels is None else labels
    verdict = FrameTrust(
        edges=trust or 0, depth_order=1, semantics=1, boxes=1, lights=np.nan, score=trust or 0
    )
    return Chunk(
        index=index,
        camera=camera,
        frames=realized(rendered),
        rendered=rendered,
        frame_ids=numbers + 1000,
        timestamps=seconds + 12.25,
        captured_at=np.full(frames, time.monotonic()),
        intrinsics=intrinsics(size),
        cam_to_world=np.stack([placed for placed, _, _ in seen]),
        ego_to_world=np.stack([ego_at(second) for second in seconds]),
        labels={name: np.stack([found[name] for _, _, found in seen]) for name in kept},
        objects=tuple(objects_at(second) for second in seconds),
        prompt="a street at noon",
        seed=5,
        trust=() if trust is None else (verdict,) * frames,
    )


def record_reloaded(folder, *, cameras=("front",), falls=3):
    """Six chunks; before number `falls` the world is loaded anew, and its clock begins at 0.1 s."""
    spec = ChunkSpec(frames=4, width=SIZE[0], height=SIZE[1], fps=FPS)
    with Recorder(folder, spec, about=About(town="Town05")) as recorder:
        for index in range(2 * falls):
            for camera in cameras:
                chunk = driven_chunk(index, camera)
                if index >= falls:
                    past = chunk.timestamps - chunk.timestamps[0]
                    since = (index - falls) * 4 / FPS + 0.1
                    chunk = replace(chunk, timestamps=past + since)
                recorder.write(chunk)
    return folder


def record_drive(
    folder, *, cameras=("front",), chunks=6, gaps=None, trust=None, town="Town05", size=SIZE, **how
):
    """A drive of 4 frames a chunk; gaps: chunk index -> frames lost before it in all cameras."""
    spec = ChunkSpec(frames=4, width=size[0], height=size[1], fps=FPS)
    about = About(
        source=SourceInfo.of({"map": f"Carla/Maps/{town}"}),
        seed=3,
        route="round",
        weather=how.pop("weather", "noon"),
    )
    labels = how.pop("labels", None)
    lost = 0
    with Recorder(folder, spec, about=about, opendrive={town: ROADS}, **how) as recorder:
        for index in range(chunks):
            here = (gaps or {}).get(index, 0)
            lost += here
            for camera in cameras:
                chunk = driven_chunk(
                    index, camera, size=size, lost=lost, labels=labels, trust=trust
                )
                recorder.write(replace(chunk, dropped_before=here))
    return folder
