"""Where pixels were a frame earlier: by flow, by depth and poses, and which were in view."""

import numpy as np
import pytest

from realmaster_live.fidelity.motion import View, places_before, warp
from realmaster_live.frames.geometry import pinhole

SIZE = (48, 64)  # rows, columns
CAMERA = pinhole(SIZE[1], SIZE[0], 70.0)


def view(labels, pose=None, moving=()):
    pose = np.eye(4) if pose is None else pose
    return View(labels=labels, intrinsics=CAMERA, cam_to_world=pose, moving=moving)


def moved(x=0.0, z=0.0, yaw_deg=0.0):
    pose = np.eye(4)
    c, s = np.cos(np.radians(yaw_deg)), np.sin(np.radians(yaw_deg))
    pose[:3, :3] = [[c, 0, s], [0, 1, 0], [-s, 0, c]]
    pose[:3, 3] = x, 0, z
    return pose


def wall(distance, pose):
    """Depth of a wall at z = distance that faces the camera at the origin."""
    height, width = SIZE
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    rays = np.stack([x, y, np.ones_like(x)], -1) @ np.linalg.inv(CAMERA).T @ pose[:3, :3].T
    return ((distance - pose[2, 3]) / rays[..., 2]).astype(np.float32)


def painted(pose, distance=20.0):
    """The picture of a wall with smooth stripes in its own coordinates."""
    height, width = SIZE
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    rays = np.stack([x, y, np.ones_like(x)], -1) @ np.linalg.inv(CAMERA).T @ pose[:3, :3].T
    at = pose[:3, 3] + rays * wall(distance, pose)[..., None]
    return (100 + 50 * np.sin(at[..., :1] * 1.3) + 40 * np.cos(at[..., 1:2] * 1.7)).repeat(3, -1)


@pytest.mark.parametrize(
    "pose", [moved(x=0.6), moved(z=1.5), moved(yaw_deg=2), moved(0.3, 0.8, -1)]
)
def test_depth_and_poses_lead_to_the_same_place_of_a_still_wall(pose):
    now, before = view({"depth": wall(20, pose)}, pose), view({"depth": wall(20, np.eye(4))})
    places = places_before(now, before)
    assert places.in_view.mean() > 0.85
    found = warp(painted(np.eye(4)).astype(np.float32), places)
    inner = places.in_view.copy()
    inner[:3] = inner[-3:] = inner[:, :3] = inner[:, -3:] = False
    apart = np.abs(found - painted(pose))[inner]
    assert apart.mean() < 4 and apart.max() < 25
    assert np.abs(painted(np.eye(4)) - painted(pose))[inner].mean() > 4 * apart.mean()


@pytest.mark.timeout(20)
def test_a_sky_at_no_distance_was_not_in_view_and_is_warped_at_once():
    pose, depths = moved(z=1.5), [wall(20, moved(z=1.5)), wall(20, np.eye(4))]
    for depth in depths:
        depth[:20] = np.inf
    places = places_before(view({"depth": depths[0]}, pose), view({"depth": depths[1]}))
    assert not places.in_view[:20].any() and places.in_view[22:-4].mean() > 0.85
    assert np.isfinite(places.x).all() and np.isfinite(places.y).all()
    assert np.isfinite(warp(painted(np.eye(4)).astype(np.float32), places)).all()


def test_what_moves_or_was_hidden_was_not_in_view():
    depth, instance = wall(20, np.eye(4)), np.zeros(SIZE, np.int32)
    instance[10:20, 10:20] = 4 << 16 | 7
    still = view({"depth": depth, "instance": instance})
    assert places_before(still, still).in_view.all()
    moving = view({"depth": depth, "instance": instance}, moving=(7,))
    np.testing.assert_array_equal(places_before(moving, still).in_view, instance == 0)
    nearer = depth.copy()
    nearer[:5] = 12.0
    assert not places_before(view({"depth": nearer}), view({"depth": depth})).in_view[:5].any()
    bare = view({"depth": depth, "instance": np.zeros(SIZE, np.int32)})
    np.testing.assert_array_equal(places_before(still, bare).in_view, instance == 0)


def test_flow_says_it_of_everything():
    flow = np.zeros((*SIZE, 2), np.float32)
    flow[..., 0], flow[0, 0] = 3.0, np.nan
    labels = {"flow": flow, "depth": np.full(SIZE, np.inf, np.float32)}
    places = places_before(view(labels), view(labels))
    assert not places.in_view[:, :3].any() and not places.in_view[0, 0]
    assert places.in_view[1:, 3:].all(), "the sky is in view"
    image = np.random.default_rng(0).integers(0, 256, (*SIZE, 3)).astype(np.float32)
    np.testing.assert_allclose(warp(image, places)[1:, 3:], image[1:, :-3], atol=1e-3)
    labels["flow"] = np.full((*SIZE, 2), 100.0, np.float32)
    assert not places_before(view(labels), view(labels)).in_view.any()


def test_without_flow_and_depth_nothing_says_it():
    assert places_before(view({"semantic": np.zeros(SIZE, np.uint8)}), view({})) is None
