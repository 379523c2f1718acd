"""`--to`, `--metrics` and `--log-json` of attach and replay, on a real client and real files."""

import json
import os
import re
import socket

import pytest

from realmaster_live.cli import main

pytest.importorskip("foxglove")
pytest.importorskip("rosbags")
pytest.importorskip("prometheus_client")
content = pytest.importorskip("mcap_content")
SIZE = ("--size", "64x32", "--labels", "none", "--engine", "identity")


@pytest.mark.carla
def test_attach_sends_to_several_and_says_what_became_of_it(car, tmp_path, capsys):
    mcap, bag = f"mcap:{tmp_path}/a.mcap", f"rosbag:{tmp_path}/bag"
    shm = f"shm:cli{os.getpid()}"
    town = ("--port", str(car[0].port), "--seconds", "0.8", *SIZE)
    flags = ("--to", mcap, "--to", bag, "--to", shm, "--metrics", "0")
    assert main(["attach", *town, *flags]) == 0
    said = capsys.readouterr()
    assert f"{mcap}: 16 frames\n" in said.err and f"{bag}: 16 frames\n" in said.err
    assert re.search(rf"{shm}: \d+ frames, \d+ dropped\n", said.err)
    assert "16 realized" in said.out
    topics = content.read(tmp_path / "a.mcap")
    assert len(topics["/front/real"]) == len(topics["/front/sim"]) == 16
    assert (tmp_path / "bag/metadata.yaml").read_text().count("/carla/hero/front_real/") == 2
    # a second time the file exists, which ends it before its first frame
    assert main(["attach", *town, "--to", mcap]) == 1
    assert "expected to make the new file" in capsys.readouterr().err
    assert len(content.read(tmp_path / "a.mcap")["/front/real"]) == 16


@pytest.mark.carla
def test_a_log_in_json_is_nothing_else(car, tmp_path, capsys):
    town = ("--port", str(car[0].port), "--seconds", "0.4", *SIZE)
    url = f"mcap:{tmp_path}/a.mcap"
    assert main(["attach", *town, "--to", url, "--log-json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [one["message"] for one in lines][:1] == ["run began"]
    assert f"{url}: 8 frames" in [one["message"] for one in lines]
    (ended,) = [one for one in lines if one["message"] == "run ended"]
    assert ended["realized"] == 8


def test_replay_sends_what_was_recorded(tmp_path, capsys):
    from driven_scene import record_drive

    record_drive(tmp_path / "drive", chunks=2)
    flags = ("--engine", "identity", "--quiet", "--prompt", "as simulated")
    url = f"mcap:{tmp_path}/again.mcap"
    assert main(["replay", str(tmp_path / "drive"), *flags, "--to", url]) == 0
    assert f"{url}: 8 frames" in capsys.readouterr().err
    found = content.read(tmp_path / "again.mcap")
    assert [at for at, _ in found["/front/real"]] == [
        round((12.25 + number / 20) * 1e9) for number in range(8)
    ]
    two = [str(tmp_path / "drive"), str(tmp_path / "drive")]
    assert main(["replay", *two, *flags, "--to", f"mcap:{tmp_path}/b.mcap"]) == 2


@pytest.mark.parametrize("verb", ["attach", "record"])
def test_a_taken_port_ends_it_before_it_attaches(verb, tmp_path, capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        folder = [str(tmp_path / "drive")] if verb == "record" else []
        assert main([verb, *folder, "--port", "1", "--metrics", port]) == 2
    assert "expected a free port for the metrics" in capsys.readouterr().err
    assert not (tmp_path / "drive").exists()


@pytest.mark.parametrize("verb", ["attach", "replay"])
def test_a_wrong_url_ends_it_before_it_attaches(verb, tmp_path, capsys):
    """No simulator and no recording are there, and neither is missed."""
    place = {"attach": ("--port", "1"), "replay": (str(tmp_path),)}[verb]
    for url, got in (("shm:a/b", "the name 'a/b'"), ("ros2:999", "the domain '999'")):
        assert main([verb, *place, "--engine", "identity", "--to", url]) == 2
        assert f"got {got}" in capsys.readouterr().err
