"""`attach`, `record` and `gta-relay` with the game's stand-in, as a user calls them."""

import subprocess
import sys

import numpy as np
import pytest
from game_server import HEIGHT, WIDTH, game, number_of, record_drive, verb

from realmaster_live.cli import main
from realmaster_live.recording import Recording

SIZE = f"{WIDTH}x{HEIGHT}"


@pytest.fixture(scope="module")
def drive(tmp_path_factory):
    return record_drive(tmp_path_factory.mktemp("drive"), 400)


def test_record_keeps_what_a_relayed_game_showed(drive, tmp_path):
    folder, shown = tmp_path / "kept", tmp_path / "shown"
    relay = ("gta-relay", "--listen", "127.0.0.1:0", "--game-size", SIZE, "--near-m", "0.15")
    with (
        game("deepgtav+zmq", drive) as url,
        verb(*relay, "--game", url, "--show", shown, "--rate", "30") as (port, _),
    ):
        peer = f"deepgtav+tcp://127.0.0.1:{port}"
        command = [sys.executable, "-m", "realmaster_live", "record", str(folder), "--gta", peer]
        options = [
            "--engine",
            "identity",
            "--fps",
            "10",
            "--seconds",
            "1.6",
            "--size",
            SIZE,
            "--lossless",
        ]
        done = subprocess.run([*command, *options], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    with Recording(folder) as recording:
        frames = list(recording.frames())
        info = recording.info
    assert info.simulator == "gtav"
    assert (info.near_m, info.near_is_default) == (0.15, False)  # the relay's
    assert info.counts["received"] > 0  # what happened by the end, not before the first frame
    assert len(frames) >= 12
    assert set(frames[0].labels) == {"depth", "semantic"}
    ways = [number_of(frame) for frame in frames]
    assert ways == sorted(ways) and ways[-1] > ways[0]
    steps = 10 * np.array([frame.timestamp for frame in frames])
    np.testing.assert_allclose(steps, np.round(steps), atol=1e-6)
    assert list(shown.glob("*.png"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--gta", "deepgtav+tcp://x", "--host", "y"], "expected no --host with --gta"),
        (["--gta", "device://0", "--passive", "--rig", "r"], "expected no --rig, --passive with"),
        (["--near-m", "0.2"], "expected no --near-m without --gta"),
        (["--gta", "http://x"], "expected deepgtav+tcp://host:port"),
        (["--gta", "deepgtav+tcp://x", "--labels", "flow"], "labels out of depth, semantic"),
    ],
)
def test_flags_of_one_simulator_are_not_for_the_other(arguments, message, capsys):
    assert main(["attach", *arguments]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--game", "deepgtav+tcp://127.0.0.1:1"], 1, "expected a game at"),
        (["--game", "device://0", "--rate", "0"], 2, "above 0 and up to 1000 for --rate"),
        (["--game", "device://0", "--show", "window:big"], 2, "such as 1920x1080+0+0"),
        (["--game", "device://0", "--listen", "999.1.1.1:80"], 1, "expected a free port"),
    ],
)
def test_a_relay_that_cannot_be_is_refused(arguments, status, message, capsys):
    assert main(["gta-relay", "--show", "none", *arguments]) == status
    assert message in capsys.readouterr().err
