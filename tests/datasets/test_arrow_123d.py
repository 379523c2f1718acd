"""123D exports, opened by py123d's own scenes."""

import numpy as np
import pytest

from realmaster_live.datasets import Selection, arrow_123d
from realmaster_live.datasets.ego import cam_to_ego
from realmaster_live.datasets.selection import open_drives
from realmaster_live.datasets.ticks import ticks
from realmaster_live.errors import ConfigError
from realmaster_live.recording import Recording


def scenes(root):
    pytest.importorskip("py123d")
    from py123d.api.scene.arrow.arrow_scene_builder import ArrowSceneBuilder
    from py123d.api.scene.scene_filter import SceneFilter
    from py123d.common.execution.sequential_executor import SequentialExecutor

    builder = ArrowSceneBuilder(root / "logs", root / "maps")
    return builder.get_scenes(SceneFilter(), SequentialExecutor())


def test_scenes_hold_what_was_recorded(drive, tmp_path):
    pytest.importorskip("py123d")
    from py123d.datatypes import CameraID

    folder, out = drive(chunks=2, cameras=("front", "back")), tmp_path / "out"
    summary = arrow_123d.export(Selection(recordings=(folder,)), out)
    (scene,) = scenes(out)
    assert (scene.number_of_iterations, scene.location) == (8, "Town01")
    assert summary.frames == 16 and summary.total("labels")["VEHICLE"]
    samples = {camera: list(Recording(folder).samples(camera)) for camera in ("front", "back")}
    for place in range(8):
        frame = samples["front"][place].frame
        ego = scene.get_ego_state_se3_at_iteration(place)
        np.testing.assert_allclose(ego.imu_se3.transformation_matrix, frame.ego_to_world, atol=1e-6)
        boxes = {
            box.attributes.track_token: box
            for box in scene.get_box_detections_se3_at_iteration(place).box_detections
        }
        seen = {
            one.thing.object_id: one.thing
            for camera in samples.values()
            for one in camera[place].annotations
            if one.thing is not None
            and one.pixels >= 20
            and max(one.occlusion, one.truncation) <= 0.9
        }
        assert set(boxes) == set(map(str, seen))
        for number, thing in seen.items():
            box = boxes[str(number)].bounding_box_se3
            np.testing.assert_allclose(
                box.center_se3.transformation_matrix, thing.object_to_world, atol=1e-6
            )
            assert (box.length, box.width, box.height) == pytest.approx(tuple(thing.size))
        for camera, number in (("front", CameraID.PCAM_F0), ("back", CameraID.PCAM_B0)):
            picture = scene.get_camera_at_iteration(place, number)
            expected = samples[camera][place].frame
            assert np.abs(picture.image.astype(int) - expected.image).mean() < 6
            np.testing.assert_allclose(
                picture.camera_to_global_se3.transformation_matrix, expected.cam_to_world, atol=1e-6
            )
            np.testing.assert_allclose(
                picture.metadata.intrinsics.camera_matrix, expected.intrinsics
            )


def test_pairs_have_two_roots(drive, tmp_path):
    pytest.importorskip("py123d")
    out = tmp_path / "out"
    arrow_123d.export(Selection(recordings=(drive(chunks=1),), variant="paired"), out)
    for kind in ("sim", "real"):
        assert len(scenes(out / kind)) == 1
    assert not (out / ".unfinished").exists()


def test_cameras_have_names_by_their_direction(drive):
    folder = drive(chunks=1, cameras=("front", "front_left", "back"))
    (one,) = open_drives(Selection(recordings=(folder,)), "123D")
    tick = next(ticks(one, Selection(recordings=(folder,))))
    assert arrow_123d.camera_names(one, tick) == {
        "front": "PCAM_F0", "front_left": "PCAM_L0", "back": "PCAM_B0",
    }  # fmt: skip
    assert cam_to_ego(tick.samples[0]).shape == (4, 4)


def test_too_many_cameras_of_one_direction(drive, monkeypatch):
    folder = drive(chunks=1, cameras=("front", "front_left", "back"))
    (one,) = open_drives(Selection(recordings=(folder,)), "123D")
    tick = next(ticks(one, Selection(recordings=(folder,))))
    monkeypatch.setattr(arrow_123d, "OTHERS", ())
    monkeypatch.setattr(arrow_123d, "CAMERAS", {})
    with pytest.raises(ConfigError, match=r"at most 0 cameras .* choose --cameras"):
        arrow_123d.camera_names(one, tick)
