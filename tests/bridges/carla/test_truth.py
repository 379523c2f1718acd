"""Poses, intrinsics and labels belong together: checked on a town that is really drawn."""

from itertools import islice

import numpy as np
import pytest

from realmaster_live.bridges.carla.bridge import CarlaBridge
from realmaster_live.bridges.carla.geometry import world_points
from realmaster_live.frames.geometry import project

pytestmark = pytest.mark.carla
CAR, SKY = 14, 11
WIDTH, HEIGHT = 192, 108


@pytest.fixture(scope="module")
def drive(drawn_owner):
    """Frames of a car that drives and turns."""
    owner = drawn_owner
    start = owner.hero.get_transform()
    with CarlaBridge(
        owner.host,
        owner.port,
        width=WIDTH,
        height=HEIGHT,
        labels=("depth", "semantic", "instance", "flow"),
    ) as bridge:
        owner.steer(throttle=0.7, steer=0.25)
        frames = list(islice(bridge.frames(), 28))
    owner.steer(brake=1.0)
    owner.put(owner.hero, start)
    assert np.linalg.norm(frames[-1].cam_to_world[:3, 3] - frames[0].cam_to_world[:3, 3]) > 1.0
    turned = frames[0].cam_to_world[:3, 2] @ frames[-1].cam_to_world[:3, 2]
    assert turned < np.cos(np.radians(2.0))
    return frames


def lift(frame) -> np.ndarray:
    """Return (H, W, 3) points of our world from depth, pose and K."""
    rows, columns = np.indices((HEIGHT, WIDTH)) + 0.5  # pixel centres
    rays = np.stack([columns, rows, np.ones_like(rows)], -1) @ np.linalg.inv(frame.intrinsics).T
    inside = rays * frame.labels["depth"][..., None]
    return inside @ frame.cam_to_world[:3, :3].T + frame.cam_to_world[:3, 3]


def near(frame) -> np.ndarray:
    """Return which pixels show something that stands still and is not far away."""
    semantic = frame.labels["semantic"]
    return (frame.labels["depth"] < 60.0) & (semantic != SKY) & (semantic != CAR)


def test_depth_of_one_frame_predicts_the_depth_of_another(drive):
    first, last = drive[-6], drive[-1]
    points = lift(first)[near(first)]
    pixels, depth = project(points, last.cam_to_world, last.intrinsics)
    inside = (depth > 0.5) & (pixels > 0).all(1) & (pixels < (WIDTH, HEIGHT)).all(1)
    columns, rows = np.floor(pixels[inside]).astype(int).T
    error = np.abs(last.labels["depth"][rows, columns] / depth[inside] - 1.0)
    assert inside.sum() > 1000
    assert np.median(error) < 0.01


def test_flow_is_this_pixel_minus_where_its_point_was(drive):
    before, now = drive[-2:]
    rows, columns = np.indices((HEIGHT, WIDTH)) + 0.5
    was, depth = project(lift(now).reshape(-1, 3), before.cam_to_world, before.intrinsics)
    expected = np.stack([columns, rows], -1) - was.reshape(HEIGHT, WIDTH, 2)
    seen = near(now) & (depth.reshape(HEIGHT, WIDTH) > 0.5)
    error = np.linalg.norm(now.labels["flow"] - expected, axis=-1)[seen]
    motion = np.linalg.norm(expected, axis=-1)[seen]
    assert np.median(motion) > 0.5  # there is something to get right
    assert np.median(error) < 0.02 * np.median(motion)


def test_a_car_ahead_is_where_its_transform_projects_to(drawn_owner):
    owner = drawn_owner
    with owner.in_the_open():
        ahead = owner.hero.get_transform()
        ahead.location = ahead.transform(owner.carla.Location(12.0, 0.0, 0.3))
        blueprint = owner.world.get_blueprint_library().filter("vehicle.*")[0]
        other = owner.adopt(owner.world.spawn_actor(blueprint, ahead))
        bridge = CarlaBridge(owner.host, owner.port, ego=owner.hero.id, width=WIDTH, height=HEIGHT)
        with bridge:
            frame = next(iter(bridge.frames()))
            place = owner.world.get_snapshot().find(other.id).get_transform()
            middle = place.transform(other.bounding_box.location)
    pixels, depth = project(
        world_points([[middle.x, middle.y, middle.z]]), frame.cam_to_world, frame.intrinsics
    )
    column, row = np.floor(pixels[0]).astype(int)
    assert frame.labels["semantic"][row, column] == CAR
    label = int(frame.labels["instance"][row, column])
    assert label >> 16 == CAR and label & 0xFFFF != 0
    half = other.bounding_box.extent.x
    assert depth[0] - half - 0.5 < frame.labels["depth"][row, column] < depth[0]
    rows, columns = np.nonzero(frame.labels["instance"] == label)
    assert abs(columns.mean() - pixels[0, 0]) < 4 and abs(rows.mean() - pixels[0, 1]) < 6
