"""`record --sensors`: the commands and the programs of docs/recording.md, run as they are shown."""

import re
import shlex
import textwrap
from pathlib import Path

import numpy as np
import pytest

from realmaster_live.cli import main
from realmaster_live.recording import Recording

pytestmark = pytest.mark.carla
PAGE = (Path(__file__).parents[2] / "docs/recording.md").read_text(encoding="utf-8")
SECTION = PAGE.partition("## The vehicle and its sensors")[2].partition("\n## ")[0]


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", SECTION, re.DOTALL | re.MULTILINE)


def record(town, command, *flags, seconds=0.4):
    world = ["--port", str(town.port), "--engine", "identity", "--size", "64x48"]
    return main([*command, *world, "--seconds", str(seconds), "--timeout", "30", *flags])


def test_the_shown_command_and_program_run(drawn_car, tmp_path, monkeypatch, capsys):
    town, _ = drawn_car
    monkeypatch.chdir(tmp_path)
    command = blocks("")[0]
    assert record(town, shlex.split(command)[1:]) == 0
    exec(blocks("python")[0], {})
    recording = Recording("drive")
    counts = recording.sensor_counts
    assert counts["lidar"] == counts["radar"] == counts["imu"] == counts["control"] == 8
    assert (counts["collision"], counts["lane_invasion"]) == (0, 0)
    assert all(frame.ego.missing == () for frame in recording)
    sweep = next(iter(recording.sensors("lidar")))[1]
    assert len(sweep) > 1000 and np.linalg.norm(sweep.points, axis=1).max() <= 100.0
    capsys.readouterr()
    assert main(["dataset", "info", "drive"]) == 0
    assert "8 lidar" in capsys.readouterr().out
    assert main(["dataset", "verify", "drive"]) == 0
    assert "lidar 8 sweeps" in capsys.readouterr().out


def test_a_rig_file_names_sensors_and_their_attributes(drawn_car, tmp_path):
    town, _ = drawn_car
    camera = '[[camera]]\nname = "front"\nwidth = 64\nheight = 32\nlabels = []\n'
    (tmp_path / "rig.toml").write_text(camera + textwrap.dedent(blocks("toml")[0]))
    command = ["record", str(tmp_path / "drive"), "--rig", str(tmp_path / "rig.toml")]
    world = ["--port", str(town.port), "--engine", "identity", "--timeout", "30"]
    assert main([*command, *world, "--seconds", "0.2"]) == 0
    recording = Recording(tmp_path / "drive")
    top = recording.info.sensors["top"]
    assert top.attributes["channels"] == "64" and top.sensor_to_ego[2][3] == 2.2
    assert recording.sensor_counts.keys() >= {"top", "imu", "gnss", "collision", "lane_invasion"}
    assert {int(s.values["ring"].max()) for _, s in recording.sensors("top")} <= {61, 62, 63}


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ('kind = "sonar"', "sensors out of imu, gnss"),
        ("name = 'top'", "a kind and a name"),
        ('kind = "lidar"\nchannels = [1]', "a number or a text for channels"),
        ('kind = "lidar"\nx = "far"', "a number for x"),
    ],
)
def test_a_wrong_sensor_in_a_rig_file_is_said(table, message, tmp_path, capsys):
    rig = tmp_path / "rig.toml"
    rig.write_text(f'[[camera]]\nname = "front"\n[[sensor]]\n{table}\n')
    assert main(["record", str(tmp_path / "drive"), "--rig", str(rig)]) != 0
    assert message in capsys.readouterr().err and not (tmp_path / "drive").exists()


def test_what_a_server_lacks_and_what_nobody_records_is_said(car, tmp_path, capsys):
    town, _ = car
    assert record(town, ["record", str(tmp_path / "drive")], "--sensors", "lidar") != 0
    assert "expected a town that is drawn" in capsys.readouterr().err
    assert record(town, ["record", str(tmp_path / "drive")], "--sensors", "lidr") == 2
    assert "semantic_lidar and radar" in capsys.readouterr().err
    assert record(town, ["record", str(tmp_path / "none")], "--sensors", "none") == 0
    assert Recording(tmp_path / "none").sensor_counts == {"control": 8}
