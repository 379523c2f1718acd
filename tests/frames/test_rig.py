"""Rigs out of TOML files: what is right is read, what is wrong is told in one sentence."""

from pathlib import Path

import pytest

from realmaster_live.errors import ConfigError
from realmaster_live.frames.rig import DEFAULT_LABELS, Mount, Rig, RigCamera

EXAMPLE = Path(__file__).parents[2] / "examples" / "rig-front-left-right.toml"


def load(tmp_path: Path, text: str) -> Rig:
    path = tmp_path / "rig.toml"
    path.write_text(text)
    return Rig.load(path)


def test_the_example_is_a_rig():
    rig = Rig.load(EXAMPLE)
    assert [camera.name for camera in rig.cameras] == ["front", "left", "right"]
    assert rig.cameras[1].mount == Mount(x=1.2, y=-0.6, z=1.7, yaw_deg=-70.0)
    assert all(camera.labels == DEFAULT_LABELS for camera in rig.cameras)


def test_what_is_left_out_has_a_default_and_whole_numbers_are_numbers(tmp_path):
    rig = load(tmp_path, '[[camera]]\nname = "a"\nfov_deg = 60\nx = 2\nlabels = []\n')
    assert rig.cameras == (RigCamera(name="a", fov_deg=60.0, mount=Mount(x=2.0), labels=()),)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "one or more cameras"),
        ("[[camera]", "expected a rig file"),
        ("fps = 20", "tables only, got fps"),
        ('camera = "front"', r"write \[\[camera\]\]"),
        ("[camera]\nname = 'a'", r"write \[\[camera\]\]"),
        ("[[camera]]\nwidth = 512", "expected a name"),
        ("[[camera]]\nname = 'a'\nheigth = 2", "got heigth"),
        ("[[camera]]\nname = 'a'\nmount = 2", "got mount"),
        ("[[camera]]\nname = 'a'\nwidth = 51.2", "whole number for width, got 51.2"),
        ("[[camera]]\nname = 'a'\nwidth = true", "whole number for width, got True"),
        ("[[camera]]\nname = 'a'\nwidth = 0", "of 1 pixel or more"),
        ("[[camera]]\nname = 'a'\nfov_deg = 180", "between 0 and 180"),
        ("[[camera]]\nname = 'a'\nyaw_deg = 'left'", "a number for yaw_deg, got 'left'"),
        ("[[camera]]\nname = 'a'\nlabels = 'depth'", "write a list"),
        ("[[camera]]\nname = 'a'\nlabels = ['normals']", "got normals"),
        ("[[camera]]\nname = 'a'\nsensor_tick = 0.2", "draw at every tick, got sensor_tick.*spare"),
        ("[[camera]]\nname = 'a'\nevery = 4", "draw at every tick, got every in"),
        (
            "[[camera]]\nname = 'a'\n[[sensor]]\nkind = 'lidar'\nsensor_tick = 0.2",
            "expected lidar to measure at every tick, got sensor_tick 0.2",
        ),
        ("[[camera]]\nname = 'a/b'", "letters, digits"),
        ("[[camera]]\nname = 'a'\n[[camera]]\nname = 'a'", "different names, got a, a"),
    ],
)
def test_what_is_wrong_is_reported_in_one_sentence(tmp_path, text, message):
    with pytest.raises(ConfigError, match=message) as caught:
        load(tmp_path, text)
    assert str(caught.value).startswith("expected") and "\n" not in str(caught.value).strip()


def test_a_file_that_is_not_there_is_reported(tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere\.toml"):
        Rig.load(tmp_path / "nowhere.toml")
