"""What is written in a harness's layout is read back: pictures, depth, classes, camera, pose."""

import numpy as np
import pytest
from game_samples import (
    HEIGHT,
    OF_STENCIL,
    OF_VIPER,
    SKY_M,
    VIPER,
    WIDTH,
    mapped,
    write_presil,
    write_sailvos,
    write_tiffs,
    write_viper,
    write_visionexport,
)

from realmaster_live.bridges.gtav.readers import find_drives, layout
from realmaster_live.bridges.gtav.readers.drive import ReadOptions
from realmaster_live.frames.geometry import project

PIXELS = np.stack(np.meshgrid(np.arange(WIDTH) + 0.5, np.arange(HEIGHT) + 0.5), -1).reshape(-1, 2)


def read(folder, **options):
    ((name, path),) = find_drives(folder)
    drive = layout(name).open_drive(path, ReadOptions(**options))
    return drive, list(drive.frames(fps=drive.fps or 1.0))


def in_world(depth, camera, pose):
    """Return the (N, 3) points of a picture's pixels."""
    rays = np.c_[PIXELS, np.ones(len(PIXELS))] @ np.linalg.inv(camera).T
    return (rays * depth.reshape(-1, 1)) @ pose[:3, :3].T + pose[:3, 3]


def moved_px(frames, truths, here, there):
    """Return how far points of one frame, seen in another, lie off where they truly are, pixels.

    Everything comes from what was read: camera, pose, and depth where there is one.
    """
    truth, frame, other = truths[here], frames[here], frames[there]
    near = (truth.depth < 200).ravel()
    depth = frame.labels.get("depth", truth.depth)
    found, ahead = project(
        in_world(depth, frame.intrinsics, frame.cam_to_world)[near],
        other.cam_to_world,
        other.intrinsics,
    )
    expected, _ = project(
        in_world(truth.depth, truth.camera, truth.pose)[near],
        truths[there].pose,
        truths[there].camera,
    )
    seen = (ahead > 1.0) & (np.abs(expected - [WIDTH / 2, HEIGHT / 2]) < [WIDTH, HEIGHT]).all(1)
    assert seen.sum() > 2000
    return np.abs(found - expected)[seen].max()


def check_depth(frame, truth, *, relative, absolute=0.0):
    depth = frame.labels["depth"]
    assert depth.dtype == np.float32
    drawn = truth.depth < 0.99 * SKY_M
    np.testing.assert_allclose(depth[drawn], truth.depth[drawn], rtol=relative, atol=absolute)
    assert (depth[truth.semantic == 11] == SKY_M).all()


def check_stencil(frame, truth):
    expected = mapped(truth.stencil, OF_STENCIL)
    np.testing.assert_array_equal(frame.labels["semantic"], expected)
    assert {0, 11, 14} <= set(np.unique(expected))


@pytest.mark.parametrize("series", ["", "0003"])
def test_presil(tmp_path, truths, series):
    drive, frames = read(write_presil(tmp_path / "object", truths, series=series, first=7))
    assert drive.fps == (25.0 if series else None)
    assert [frame.frame_id for frame in frames] == list(range(7, 13))
    for frame, truth in zip(frames, truths, strict=True):
        np.testing.assert_array_equal(frame.image, truth.image)
        np.testing.assert_allclose(frame.intrinsics, truth.camera)
        np.testing.assert_allclose(frame.cam_to_world, truth.pose, atol=2e-6)
        check_depth(frame, truth, relative=2e-4)
        check_stencil(frame, truth)
    assert moved_px(frames, truths, 0, 5) < 0.02


@pytest.mark.parametrize("matrices", [True, False])
def test_visionexport(tmp_path, truths, matrices):
    drive, frames = read(write_visionexport(tmp_path / "out", truths, matrices=matrices))
    assert drive.fps == 20.0
    assert drive.facts["weather"] == "Clear"
    for frame, truth in zip(frames, truths, strict=True):
        assert np.abs(frame.image.astype(int) - truth.image).mean() < 4
        np.testing.assert_allclose(frame.intrinsics, truth.camera)
        np.testing.assert_allclose(frame.cam_to_world, truth.pose, atol=1e-9)
        check_depth(frame, truth, relative=1e-6, absolute=1000 / 65535)
        check_stencil(frame, truth)
    assert moved_px(frames, truths, 0, 5) < 1.0  # depth is kept in steps of 15 mm


@pytest.mark.parametrize("one_file", [True, False])
@pytest.mark.parametrize("stencil_first", [True, False])
def test_tiffs(tmp_path, truths, one_file, stencil_first):
    folder = tmp_path / "taken"
    write_tiffs(folder, truths, one_file=one_file, stencil_first=stencil_first)
    drive, frames = read(folder)
    assert drive.labels == ("depth", "semantic")
    for frame, truth in zip(frames, truths, strict=True):
        assert np.abs(frame.image.astype(int) - truth.image).mean() < (4 if one_file else 1e-9)
        np.testing.assert_allclose(frame.cam_to_world, truth.pose, atol=1e-9)
        check_depth(frame, truth, relative=2e-4)
        check_stencil(frame, truth)
    assert moved_px(frames, truths, 0, 5) < 0.02


def test_sailvos(tmp_path, truths):
    drive, frames = read(write_sailvos(tmp_path / "sailvos3d" / "ah_3a_ext", truths).parent)
    assert drive.name == "ah_3a_ext"
    assert drive.fps is None
    assert "non-commercial" in drive.licence
    for frame, truth in zip(frames, truths, strict=True):
        np.testing.assert_array_equal(frame.image, truth.image)
        np.testing.assert_allclose(frame.intrinsics, truth.camera)
        np.testing.assert_allclose(frame.cam_to_world, truth.pose, atol=1e-9)
        check_depth(frame, truth, relative=5e-4)
    assert moved_px(frames, truths, 0, 5) < 0.02


def test_viper(tmp_path, truths):
    drive, frames = read(write_viper(tmp_path / "train", truths))
    assert drive.fps == 15.0
    assert drive.labels == ("semantic", "instance")
    first = frames[0].cam_to_world
    np.testing.assert_allclose(first[:3, 3], 0, atol=1e-12)
    np.testing.assert_allclose(first[:3, 2], [1, 0, 0], atol=1e-12)  # it looks along x
    np.testing.assert_allclose(first[:3, 1], [0, 0, -1], atol=1e-12)  # down is down
    for frame, truth in zip(frames, truths, strict=True):
        assert np.abs(frame.image.astype(int) - truth.image).mean() < 4
        np.testing.assert_allclose(frame.intrinsics, truth.camera, rtol=1e-6)
        motion = np.linalg.inv(first) @ frame.cam_to_world
        expected = np.linalg.inv(truths[0].pose) @ truth.pose
        np.testing.assert_allclose(motion, expected, atol=1e-6)
        semantic = mapped(mapped(truth.semantic, VIPER), OF_VIPER)
        np.testing.assert_array_equal(frame.labels["semantic"], semantic)
        is_thing = np.isin(semantic, (7, 8, 12, 14, 15, 16)) & (truth.ids > 0)
        instance = np.where(is_thing, semantic.astype(np.int32) << 16 | truth.ids, 0)
        np.testing.assert_array_equal(frame.labels["instance"], instance)
    assert len(np.unique(frames[0].labels["instance"])) > 2
    assert moved_px(frames, truths, 0, 5) < 0.02


def test_every_tenth_frame_is_a_recording_of_a_tenth_of_the_rate(tmp_path, truths):
    root = write_viper(tmp_path / "val", truths, step=10)
    (root / "img" / "001" / "001_00031.jpg").unlink()
    drive, frames = read(root)
    assert drive.fps == 1.5
    assert [frame.dropped_before for frame in frames] == [0, 0, 0, 1, 0]
    assert [frame.frame_id for frame in frames] == [1, 2, 3, 5, 6]
    assert frames[3].timestamp - frames[2].timestamp == pytest.approx(2 / 1.5)


def test_the_published_sample_of_a_camera(tmp_path):
    """Matrices, angles and field of view that GTAVisionExport wrote of one frame of the game."""
    import json

    import cv2

    about = {
        "camera_rot": [0.0151873100548983, -0.587288916110992, -167.250442504883],
        "camera_pos": [2731.53833007812, 4693.8916015625, 44.477180480957],
        "camera_fov": 50.0,
        "view_matrix": [
            [-0.9752927881182667, -0.22067830898489185, 0.010249945759198202, 3699.4338062975503],
            [0.009938725046197045, 0.0025205924865676246, 0.9999474327973311, -83.4542387594525],
            [-0.22069254447976713, 0.9753433910972512, -0.0002650546372739381, -3975.314218818982],
            [0.0, 0.0, 0.0, 1.0],
        ],
        "proj_matrix": [
            [1.1805957369680227, 0.0, 0.0, 0.0],
            [0.0, 2.1445069205095586, 0.0, 0.0],
            [0.0, 0.0, 1.4994504514095583e-05, 0.1500022491756771],
            [0.0, 0.0, -1.0, 0.0],
        ],
    }
    poses, cameras = [], []
    for name, keys in {
        "matrices": about,
        "angles": [key for key in about if key.startswith("camera")],
    }.items():
        folder = tmp_path / name
        folder.mkdir()
        blank = np.zeros((1057, 1920), np.uint8)
        cv2.imwrite(str(folder / "a.jpg"), blank)
        cv2.imwrite(str(folder / "a-stencil.png"), blank)
        (folder / "a.json").write_text(json.dumps({key: about[key] for key in keys}))
        _, (frame,) = read(folder)
        poses.append(frame.cam_to_world)
        cameras.append(frame.intrinsics)
    np.testing.assert_allclose(poses[0][:3, :3], poses[1][:3, :3], atol=1e-6)
    np.testing.assert_allclose(poses[0][:3, 3], poses[1][:3, 3], atol=0.01)
    np.testing.assert_allclose(cameras[0], cameras[1], rtol=1e-6)


def test_the_first_of_several_weathers_is_taken(tmp_path, truths):
    import tifffile

    truth = truths[0]
    pages = (truth.buffer.astype(np.float32), truth.image, 255 - truth.image, truth.stencil)
    with tifffile.TiffWriter(tmp_path / "shot.tiff") as file:
        for page in pages:
            file.write(page, photometric="rgb" if page.ndim == 3 else None, metadata=None)
    _, (frame,) = read(tmp_path)
    np.testing.assert_array_equal(frame.image, truth.image)
    check_depth(frame, truth, relative=2e-4)
    check_stencil(frame, truth)
