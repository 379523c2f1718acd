"""`record` with a rig: one recording of all cameras, with what stood around the car."""

from pathlib import Path

import numpy as np
import pytest

from realmaster_live.cli import main
from realmaster_live.engines.load import load_engine
from realmaster_live.frames.chunk import Chunk
from realmaster_live.recording import Recording

pytestmark = pytest.mark.carla
RIG = """
[[camera]]
name = "front"
width = 64
height = 32
labels = ["instance"]

[[camera]]
name = "back"
width = 48
height = 32
x = -1.5
yaw_deg = 180
labels = []
"""


@pytest.fixture
def rig(tmp_path) -> Path:
    path = tmp_path / "rig.toml"
    path.write_text(RIG)
    return path


def record(town, folder: Path, *flags: str) -> int:
    world = ["--port", str(town.port), "--engine", "identity", "--seconds", "0.8"]
    return main(["record", str(folder), *world, *flags])


def test_a_rig_is_recorded_as_one_drive(car, rig, tmp_path):
    town, hero = car
    film = tmp_path / "film.mp4"
    folder = tmp_path / "drive"
    flags = ("--rig", str(rig), "--video", str(film), "--segment-s", "0.4", "--lossless")
    assert record(town, folder, *flags, "--labels", "depth") == 2  # the rig says which
    assert record(town, folder, *flags) == 0
    recording = Recording(folder)
    assert recording.cameras == ("front", "back")
    frames = list(recording.frames())
    assert len(frames) == 32  # 16 ticks
    assert [frame.camera for frame in frames] == ["front", "back"] * 16
    ids = [frame.frame_id for frame in frames]
    assert ids == sorted(ids) and len(set(ids)) == 16
    assert [frame.image.shape for frame in frames[:2]] == [(32, 64, 3), (32, 48, 3)]
    assert set(frames[0].labels) == {"instance"} and not frames[1].labels
    seen = [one for frame in frames for one in frame.objects]
    assert seen and hero.id not in {one.object_id for one in seen}
    assert len(list((folder / "segments").iterdir())) == 2
    assert film.stat().st_size > 0


THREE = """
[[camera]]
name = "front"
width = 64
height = 32
labels = []

[[camera]]
name = "left"
width = 64
height = 32
yaw_deg = -70
labels = []

[[camera]]
name = "right"
width = 64
height = 32
yaw_deg = 70
labels = []
"""


@pytest.mark.parametrize("engine", ["embedded", "torch"])
def test_three_cameras_through_one_engine_look_as_through_three(
    drawn_car, tmp_path, capsys, request, engine
):
    """What is recorded of each is what an engine for it alone makes of its rendered frames."""
    model = engine
    if engine == "torch":
        model = str(request.getfixturevalue("tiny_checkpoint"))
    rig = tmp_path / "rig.toml"
    rig.write_text(THREE)
    world = ["--port", str(drawn_car[0].port), "--seconds", "0.6", "--rig", str(rig), "--lossless"]
    assert main(["record", str(tmp_path / "drive"), *world, "--engine", model]) == 0
    out = capsys.readouterr().out
    assert "front, left, right: " in out
    assert ("3 cameras in one batch" in out) == (engine == "torch")
    seen = []
    with Recording(tmp_path / "drive") as recording:
        assert recording.cameras == ("front", "left", "right")
        for camera in recording.cameras:
            samples = list(recording.samples(camera))
            assert len(samples) == 12
            with load_engine(model, width=64, height=32, threads=1) as alone:
                for first in range(0, 12, 4):
                    chunk = Chunk.of([one.frame for one in samples[first : first + 4]], index=first)
                    expected = alone.realize(chunk).frames.astype(int)
                    got = np.stack([one.real for one in samples[first : first + 4]])
                    assert np.abs(got - expected).max() <= 1
            seen.append(samples[0].frame.image)
    assert not np.array_equal(seen[0], seen[1]) and not np.array_equal(seen[1], seen[2])


def test_objects_are_left_out_where_they_are_not_wanted(car, tmp_path):
    town, _ = car
    assert record(town, tmp_path / "drive", "--size", "64x32", "--no-objects") == 0
    frames = list(Recording(tmp_path / "drive").frames())
    assert len(frames) == 16 and not any(frame.objects for frame in frames)
    assert all(frame.ego_to_world is not None for frame in frames)


def test_a_rig_and_the_flags_of_one_camera_are_told_apart(rig, tmp_path, capsys):
    for flags in (["--size", "64x32"], ["--camera", "3"], ["--fov-deg", "70"]):
        assert main(["attach", "--rig", str(rig), *flags]) == 2
        assert f"got {flags[0]}: write it in {rig}" in capsys.readouterr().err
    rig.write_text(RIG.replace("yaw_deg", "yaw"))
    assert main(["attach", "--rig", str(rig)]) == 2
    assert "got yaw in" in capsys.readouterr().err
