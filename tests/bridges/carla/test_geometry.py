"""Axes, intrinsics and projection, against carla's own geometry."""

import carla
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realmaster_live.bridges.carla.geometry import (
    cam_to_world,
    relative_matrix,
    unreal_matrix,
    unreal_pose,
    world_points,
)
from realmaster_live.frames.geometry import pinhole, project

metres = st.floats(-200, 200)
poses = st.tuples(
    metres, metres, metres, st.floats(-85, 85), st.floats(-179, 179), st.floats(-179, 179)
)


def transform(pose: tuple[float, ...]) -> carla.Transform:
    x, y, z, pitch, yaw, roll = pose
    return carla.Transform(carla.Location(x, y, z), carla.Rotation(pitch, yaw, roll))


@given(poses)
@settings(max_examples=50, deadline=None)
def test_matrix_is_carlas_own(pose):
    theirs = np.array(transform(pose).get_matrix())
    np.testing.assert_allclose(unreal_matrix(pose[:3], pose[3:]), theirs, atol=1e-4)


@given(poses)
@settings(max_examples=50, deadline=None)
def test_pose_and_matrix_are_inverse(pose):
    matrix = unreal_matrix(pose[:3], pose[3:])
    np.testing.assert_allclose(unreal_matrix(*unreal_pose(matrix)), matrix, atol=1e-9)


@given(poses, poses)
@settings(max_examples=50, deadline=None)
def test_relative_pose_puts_the_child_back(parent, child):
    above, below = unreal_matrix(parent[:3], parent[3:]), unreal_matrix(child[:3], child[3:])
    np.testing.assert_allclose(above @ relative_matrix(above, below), below, atol=1e-9)


@given(poses)
@settings(max_examples=50, deadline=None)
def test_camera_axes_are_right_handed_and_point_as_carlas_vectors_say(pose):
    theirs = transform(pose)
    ours = cam_to_world(theirs.get_matrix())
    assert np.linalg.det(ours[:3, :3]) == pytest.approx(1.0, abs=1e-4)
    down = theirs.get_up_vector() * -1.0
    vectors = (theirs.get_right_vector(), down, theirs.get_forward_vector())
    for column, vector in enumerate(vectors):
        expected = world_points([[vector.x, vector.y, vector.z]])[0]
        np.testing.assert_allclose(ours[:3, column], expected, atol=1e-4)
    np.testing.assert_allclose(ours[:3, 3], world_points([pose[:3]])[0], atol=1e-4)


@given(poses, st.floats(1, 80), st.floats(-0.7, 0.7), st.floats(-0.7, 0.7))
@settings(max_examples=50, deadline=None)
def test_a_point_projects_where_carlas_transform_puts_it(pose, forward, right, up):
    width, height, fov = 512, 288, 80.0
    theirs = transform(pose)
    seen = (forward, right * forward, up * forward)  # in the sensor's own axes
    point = theirs.transform(carla.Location(*seen))
    pixels, depth = project(
        world_points([[point.x, point.y, point.z]]),
        cam_to_world(theirs.get_matrix()),
        pinhole(width, height, fov),
    )
    scale = width / 2 / np.tan(np.radians(fov / 2))
    expected = (width / 2 + right * scale, height / 2 - up * scale)
    np.testing.assert_allclose(pixels[0], expected, atol=0.2)
    assert depth[0] == pytest.approx(forward, abs=1e-2)


def test_the_edge_of_the_view_is_the_edge_of_the_picture():
    camera = pinhole(640, 360, 90.0)
    half = np.tan(np.radians(45.0))
    pixels, _ = project(np.array([[half, 0, 1.0], [-half, 0, 1.0]]), np.eye(4), camera)
    np.testing.assert_allclose(pixels[:, 0], [640.0, 0.0], atol=1e-9)
    assert camera[0, 0] == camera[1, 1] == pytest.approx(320.0)


def test_a_turn_to_the_right_in_carla_turns_our_camera_to_the_right():
    ahead_right = world_points([[10.0, 5.0, 0.0]])
    straight = cam_to_world(carla.Transform().get_matrix())
    turned = cam_to_world(carla.Transform(carla.Location(), carla.Rotation(yaw=20.0)).get_matrix())
    camera = pinhole(512, 288, 80.0)
    before = project(ahead_right, straight, camera)[0][0, 0]
    after = project(ahead_right, turned, camera)[0][0, 0]
    assert 256 < after < before
