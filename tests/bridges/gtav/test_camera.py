"""GTA-V's camera model against values worked out by hand and a recorded frame's."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realmaster_live.bridges.gtav.camera import (
    SKY_M,
    STENCIL_CLASSES,
    cam_to_world,
    depth_buffer,
    intrinsics_from_vertical_fov,
    planar_depth_m,
    position_and_rotation,
    projection_terms,
    semantic_from_stencil,
    stencil_from_semantic,
)
from realmaster_live.frames.classes import CLASS_NAMES

# one frame of a recording of the game: rotation, position, and the view and projection it was
# drawn with (OpenGL's camera axes: x right, y up, z back)
ROTATION_DEG = (0.0151873100548983, -0.587288916110992, -167.250442504883)
POSITION = (2731.53833007812, 4693.8916015625, 44.477180480957)
VIEW = np.array(
    [
        [-0.9752927881182667, -0.22067830898489185, 0.010249945759198202, 3699.4338062975503],
        [0.009938725046197045, 0.0025205924865676246, 0.9999474327973311, -83.4542387594525],
        [-0.22069254447976713, 0.9753433910972512, -0.0002650546372739381, -3975.314218818982],
        [0.0, 0.0, 0.0, 1.0],
    ]
)
P22, P23, P11 = 1.4994504514095583e-05, 0.1500022491756771, 2.1445069205095586


def test_a_camera_without_rotation_looks_north() -> None:
    pose = cam_to_world((1.0, 2.0, 3.0), (0.0, 0.0, 0.0))
    right, down, forward = (1, 0, 0), (0, 0, -1), (0, 1, 0)
    np.testing.assert_array_equal(pose[:3, :3], np.array([right, down, forward], float).T)
    np.testing.assert_array_equal(pose[:3, 3], (1.0, 2.0, 3.0))


@pytest.mark.parametrize(
    ("rotation", "axis", "expected"),
    [
        ((0, 0, 90), 2, (-1, 0, 0)),  # a quarter to the left of north is west
        ((30, 0, 0), 2, (0, math.sqrt(0.75), 0.5)),  # nose up
        ((0, 90, 0), 0, (0, 0, -1)),  # rolled clockwise, the right side is below
        ((30, 0, 90), 2, (-math.sqrt(0.75), 0, 0.5)),
    ],
)
def test_each_angle_turns_as_the_game_turns(
    rotation: tuple[float, ...], axis: int, expected: tuple[float, ...]
) -> None:
    np.testing.assert_allclose(cam_to_world((0, 0, 0), rotation)[:3, axis], expected, atol=1e-15)


def test_pose_equals_the_view_matrix_of_a_recorded_frame() -> None:
    ours = cam_to_world(POSITION, ROTATION_DEG)
    theirs = np.linalg.inv(VIEW) @ np.diag([1.0, -1.0, -1.0, 1.0])
    # the recording holds the angles as 32-bit floats
    np.testing.assert_allclose(ours[:3, :3], theirs[:3, :3], atol=2e-6)
    np.testing.assert_allclose(ours[:3, 3], theirs[:3, 3], atol=2e-3)


@settings(deadline=None)
@given(
    st.floats(-179, 179),
    st.floats(-89, 89),
    st.floats(-179, 179),
)
def test_rotation_comes_back_out_of_the_pose(x: float, y: float, z: float) -> None:
    pose = cam_to_world((4.0, 5.0, 6.0), (x, y, z))
    np.testing.assert_allclose(pose[:3, :3] @ pose[:3, :3].T, np.eye(3), atol=1e-12)
    assert np.linalg.det(pose[:3, :3]) == pytest.approx(1.0)
    position, rotation = position_and_rotation(pose)
    np.testing.assert_allclose(position, (4.0, 5.0, 6.0))
    np.testing.assert_allclose(rotation, (x, y, z), atol=1e-6)


def test_projection_equals_that_of_a_recorded_frame() -> None:
    assert projection_terms(0.15) == pytest.approx((P22, P23), rel=1e-5)
    focal = intrinsics_from_vertical_fov(1920, 1057, 50.0)[1, 1]
    assert 2 * focal / 1057 == pytest.approx(P11, rel=1e-6)


def test_vertical_fov_by_hand() -> None:
    matrix = intrinsics_from_vertical_fov(1920, 1080, 90.0)
    np.testing.assert_allclose(matrix, [[540, 0, 960], [0, 540, 540], [0, 0, 1]])
    # 59 degrees: 540 / tan(29.5 degrees) = 540 / 0.565773
    assert intrinsics_from_vertical_fov(1920, 1080, 59.0)[0, 0] == pytest.approx(954.447, abs=2e-3)


def test_depth_of_buffers_worked_out_by_hand() -> None:
    # n = 0.15, f = 10003.815: P23 / z - P22 is 0.1500022492 / 50 - 0.0000149945, and so on
    buffer = np.array([[0.0029850504789994179, 0.00028500999383725805, 1.0]], np.float32)
    np.testing.assert_allclose(planar_depth_m(buffer, 0.15), [[50.0, 500.0, 0.15]], rtol=2e-6)


def test_nothing_drawn_is_the_sky() -> None:
    buffer = np.array([[0.0, -1.0, np.nan, 1e-6, -1.499e-5, np.inf]], np.float32)
    assert planar_depth_m(buffer, 0.15)[0].tolist() == [SKY_M] * 6
    assert planar_depth_m(buffer, 0.15).dtype == np.float32


def test_stencil_puts_the_sky_far_away() -> None:
    buffer = np.full((1, 3), 0.003, np.float32)
    stencil = np.array([[7, 0x87, 2]], np.uint8)
    depth = planar_depth_m(buffer, 0.15, stencil=stencil)
    assert depth[0, :2].tolist() == [SKY_M, SKY_M]
    assert depth[0, 2] == pytest.approx(49.75, abs=0.01)


@settings(deadline=None)
@given(st.floats(0.2, 990.0), st.floats(0.05, 0.2))
def test_depth_goes_through_the_buffer_and_back(depth_m: float, near_m: float) -> None:
    buffer = depth_buffer(np.array([[depth_m]]), near_m)
    assert planar_depth_m(buffer, near_m)[0, 0] == pytest.approx(depth_m, rel=1e-6)


def test_stencil_ids_become_classes_whatever_their_flags() -> None:
    stencil = np.array([[0, 1, 2, 3, 4, 7, 8, 129, 130, 0x10 | 3, 5]], np.uint8)
    names = [CLASS_NAMES[number] for number in semantic_from_stencil(stencil)[0]]
    assert names == [
        "unlabeled", "pedestrian", "car", "vegetation", "ground", "sky", "other", "pedestrian",
        "car", "vegetation", "unlabeled",
    ]  # fmt: skip


def test_classes_that_have_an_id_keep_it() -> None:
    stencil = np.array([[1, 2, 3, 4, 7]], np.uint8)
    classes = np.array([[STENCIL_CLASSES[number] for number in stencil[0].tolist()]], np.uint8)
    np.testing.assert_array_equal(stencil_from_semantic(classes), stencil)
