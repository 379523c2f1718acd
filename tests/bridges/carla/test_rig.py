"""Rigs through the real client: every tick gives one frame a camera, in the rig's order."""

import time
from itertools import islice

import carla
import numpy as np
import pytest

from realmaster_live import ChunkSpec
from realmaster_live.bridges.carla.bridge import CarlaBridge
from realmaster_live.bridges.carla.geometry import cam_to_world, unreal_matrix
from realmaster_live.errors import ConfigError
from realmaster_live.frames.classes import CLASS_IDS
from realmaster_live.frames.geometry import box_corners, project
from realmaster_live.frames.rig import Mount, Rig, RigCamera
from realmaster_live.live.pipeline import run

pytestmark = pytest.mark.carla
RIG = Rig(
    (
        RigCamera(name="front", width=160, height=96, labels=("depth", "semantic", "instance")),
        RigCamera(
            name="left",
            width=128,
            height=64,
            fov_deg=90.0,
            mount=Mount(x=1.0, y=-0.5, z=1.8, yaw_deg=-80.0),
            labels=("instance",),
        ),
        RigCamera(
            name="right",
            width=128,
            height=64,
            fov_deg=90.0,
            mount=Mount(x=1.0, y=0.5, z=1.8, pitch_deg=-5.0, yaw_deg=80.0, roll_deg=3.0),
            labels=(),
        ),
    )
)
NAMES = [camera.name for camera in RIG.cameras]


def attach(owner, **options) -> CarlaBridge:
    return CarlaBridge(
        owner.host, owner.port, ego=owner.hero.id, rig=RIG, timeout_s=30.0, **options
    )


def ticks(bridge: CarlaBridge, count: int) -> list[tuple]:
    frames = list(islice(bridge.frames(), 3 * count))
    return [tuple(frames[n : n + 3]) for n in range(0, len(frames), 3)]


@pytest.mark.parametrize("synchronous", [True, False])
def test_all_cameras_of_a_tick_come_together_in_the_rigs_order(owner, synchronous):
    before = owner.state()
    with attach(owner, synchronous=synchronous) as bridge:
        found = ticks(bridge, 8)
        owner.wait_until(lambda: len(owner.sensors("camera.*")) == 4 + 2 + 1)
    for tick in found:
        assert [frame.camera for frame in tick] == NAMES
        assert len({frame.frame_id for frame in tick}) == 1
        assert len({frame.timestamp for frame in tick}) == 1
        assert len({frame.dropped_before for frame in tick}) == 1
        for frame, camera in zip(tick, RIG.cameras, strict=True):
            assert frame.image.shape == (camera.height, camera.width, 3)
            assert tuple(frame.labels) == camera.labels
            assert frame.objects is tick[0].objects
    ids = [tick[0].frame_id for tick in found]
    assert [tick[0].dropped_before for tick in found[1:]] == list(np.diff(ids) - 1)
    assert owner.state() == before


def test_each_camera_is_where_its_mount_says(owner):
    with attach(owner) as bridge:
        owner.steer(throttle=0.8, steer=0.3)
        found = ticks(bridge, 20)
        info = bridge.info
    owner.steer(brake=1.0)
    assert np.linalg.norm(np.diff([m[0].ego_to_world[:3, 3] for m in found], axis=0)) > 0.1
    assert list(info.cameras) == NAMES
    for tick in found:
        for frame, camera in zip(tick, RIG.cameras, strict=True):
            known = info.cameras[camera.name]
            mount = Mount(**known.mount)
            assert mount == camera.mount and known.labels == camera.labels
            assert known.lens["lens_k"] == -1.0 and not frame.distortion.any()
            place = (mount.x, mount.y, mount.z)
            turn = (mount.pitch_deg, mount.yaw_deg, mount.roll_deg)
            expected = cam_to_world(unreal_matrix(place, turn))  # the same axes on a vehicle
            np.testing.assert_allclose(known.cam_to_ego, expected, atol=1e-9)
            seen = np.linalg.inv(frame.ego_to_world) @ frame.cam_to_world
            np.testing.assert_allclose(seen, expected, atol=2e-3)
    left = found[0][0].ego_to_world[:3, 1]
    assert found[0][1].cam_to_world[:3, 2] @ left > 0.9  # the left camera looks left
    assert found[0][2].cam_to_world[:3, 2] @ left < -0.9


def test_only_the_left_camera_sees_what_stands_on_the_left(drawn_owner):
    owner = drawn_owner
    with owner.in_the_open():
        place = owner.hero.get_transform()
        place.location = place.transform(carla.Location(1.5, -9.0, 0.0))
        blueprint = owner.world.get_blueprint_library().find("vehicle.tesla.model3")
        car = owner.adopt(owner.world.spawn_actor(blueprint, place))
        with attach(owner) as bridge:
            front, left, _ = ticks(bridge, 2)[-1]
    (one,) = (one for one in left.objects if one.object_id == car.id)
    label = CLASS_IDS["car"] << 16 | one.mask_id
    assert not (front.labels["instance"] == label).any()
    rows, columns = np.nonzero(left.labels["instance"] == label)
    corners, depth = project(
        box_corners(one.size, one.object_to_world), left.cam_to_world, left.intrinsics
    )
    assert len(rows) > 100 and 5.0 < depth.min() < depth.max() < 12.0
    low, high = corners.min(0), corners.max(0)
    assert columns.min() > low[0] - 2 and columns.max() + 1 < high[0] + 2
    assert rows.min() > low[1] - 2 and rows.max() + 1 < high[1] + 2


class Slow:
    """An engine that changes nothing and takes its time."""

    def __init__(self, camera: RigCamera) -> None:
        self.spec = ChunkSpec(frames=2, height=camera.height, width=camera.width, fps=20)

    def realize(self, chunk):
        time.sleep(0.12)
        return chunk.with_frames(chunk.frames)

    def reset(self) -> None:
        pass

    def close(self) -> None:
        pass


class Collector:
    def __init__(self) -> None:
        self.chunks: list = []

    def write(self, chunk) -> None:
        self.chunks.append(chunk)

    def close(self) -> None:
        pass


def test_a_slow_engine_loses_whole_ticks_of_a_world_that_runs_freely(owner):
    sink = Collector()
    engines = {camera.name: Slow(camera) for camera in RIG.cameras}
    with attach(owner, synchronous=False) as bridge:
        stats = run(
            bridge, engines, [sink], policy="drop_oldest", queue_chunks=1, max_frames=3 * 60
        )
    assert stats.captured == 180 == stats.realized + stats.dropped_frames
    assert stats.dropped_chunks > 0 and stats.dropped_chunks % 3 == 0
    assert len(sink.chunks) % 3 == 0
    last = None
    for n in range(0, len(sink.chunks), 3):
        tick = sink.chunks[n : n + 3]
        assert [chunk.camera for chunk in tick] == NAMES
        assert len({tuple(chunk.frame_ids) for chunk in tick}) == 1
        first = int(tick[0].frame_ids[0])
        if last is not None:
            assert {chunk.dropped_before for chunk in tick} == {first - last - 1}
        last = int(tick[0].frame_ids[-1])
        assert all(len(chunk.objects) == len(chunk) for chunk in tick)


def test_a_rig_and_an_adopted_camera_contradict_each_other(owner):
    before = owner.state()
    with pytest.raises(ConfigError, match="expected a rig or a camera to adopt, got both"):
        attach(owner, adopt=7)
    assert owner.state() == before
