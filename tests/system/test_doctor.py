import json
import re
import socket
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest

from realmaster_live.cli import main
from realmaster_live.optional import pip_command
from realmaster_live.system.doctor import NEEDED, PACKAGES, examine


def test_installed_versions_are_the_real_ones():
    found = {finding.name: finding for finding in examine(port=21499)}
    assert found["av"].state == "ok"
    assert found["av"].detail == version("av")
    assert found["server"].state == "absent"
    assert "minitown" in found["server"].remedy


def test_what_is_missing_comes_with_its_command(monkeypatch):
    monkeypatch.setitem(PACKAGES, "live", (("a-package-nobody-made", "a test"),))
    monkeypatch.setitem(PACKAGES, "training", (("another-one-nobody-made", "a test"),))
    found = {finding.name: finding for finding in examine(port=21499)}
    assert "live" in NEEDED
    assert found["a-package-nobody-made"].state == "missing"
    assert found["a-package-nobody-made"].remedy == pip_command("live")
    assert found["another-one-nobody-made"].state == "absent"


def test_the_report_is_readable_and_its_json_is_json(capsys):
    status = main(["doctor", "--port", "21499"])
    text = capsys.readouterr().out
    assert "processor" in text
    assert "Apache-2.0" in text
    assert main(["doctor", "--port", "21499", "--json"]) == status
    findings = json.loads(capsys.readouterr().out)
    assert status == any(finding["state"] == "missing" for finding in findings)


def test_it_works_where_nothing_is_installed():
    script = (
        "import sys\n"
        "for name in ('av', 'cv2', 'pyarrow', 'rich', 'aiohttp', 'carla', 'onnxruntime'):\n"
        "    sys.modules[name] = None\n"
        "from realmaster_live.cli import main; main(['doctor', '--port', '21499'])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "processor" in done.stdout


def test_a_profile_says_what_it_needs(capsys):
    assert main(["doctor", "--profile", "wan-1.3b-480"]) == 0
    text = capsys.readouterr().out
    assert "wan-1.3b-480 at 832x480, 2 steps, 12 frames a chunk" in text
    assert "99.7 TFLOP" in text
    assert "1.419 billion" in text
    assert "at most 96 frames/s at 798 TFLOP/s (measured), by arithmetic" in text
    assert main(["doctor", "--profile", "wan-a14b", "--gpu", "a100"]) == 0
    assert "in 2 experts" in capsys.readouterr().out


def test_unknown_profiles_gpus_and_sizes_say_what_there_is(capsys):
    for flags, expected in (
        (["--profile", "wan"], "expected a profile among embedded, wan-1.3b-480"),
        (["--profile", "embedded", "--gpu", "z80"], "expected a GPU among h100"),
        (["--profile", "wan-5b-704", "--size", "1280x720"], "use 1280x704 or 1280x736"),
    ):
        assert main(["doctor", *flags]) != 0
        assert expected in capsys.readouterr().err


def test_no_advice_needs_a_client_without_wheels_for_this_python():
    """The carla client before 0.9.16 has wheels for Python 3.7 to 3.10 only."""
    root = Path(__file__).parents[2]
    extra = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    assert extra["optional-dependencies"]["carla"] == ["carla>=0.9.16"]
    assert extra["requires-python"].startswith(">=3.11")
    folders = ("realmaster_live", "bridges", "engines", "minitown", "training", "docs", "examples")
    files = [root / "README.md", *(p for f in folders for p in (root / f).rglob("*.[pm][yd]"))]
    assert len(files) > 300
    advice = re.compile(r"carla\s?[=~]=|carla==|carla[<>]|0\.9\.1[0-5].*pip install")
    assert [str(p) for p in files if advice.search(p.read_text(encoding="utf-8"))] == []


def test_a_port_that_does_not_answer_is_not_a_server():
    with socket.create_server(("127.0.0.1", 0)) as mute:
        port = mute.getsockname()[1]
        found = {finding.name: finding for finding in examine(port=port)}["server"]
    assert found.state == "absent" and "no answer to `version`" in found.detail


@pytest.mark.carla
def test_a_server_is_named_with_its_version(blank_minitown):
    found = {one.name: one for one in examine(host=blank_minitown.host, port=blank_minitown.port)}
    assert found["server"].state == "ok" and "CARLA 0.9.16 answers at" in found["server"].detail


STARTING_SERVER = """
import asyncio, socket
from realmaster_live.minitown.server.rpc import RpcServer
listeners = []
while len(listeners) < 2:  # RPC, and data streams at the port after it
    listeners = [socket.create_server(("127.0.0.1", 0))]
    try:
        listeners.append(socket.create_server(("127.0.0.1", listeners[0].getsockname()[1] + 1)))
    except OSError:
        listeners[0].close()
print(listeners[0].getsockname()[1], flush=True)
asyncio.run(RpcServer("0.9.16").serve(listeners[0]))
"""


@pytest.fixture
def starting_server():
    """The port of a town that is still being built, for as long as the test lasts."""
    command = [sys.executable, "-c", STARTING_SERVER]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield int(process.stdout.readline())
        finally:
            process.kill()


@pytest.mark.carla
def test_a_town_that_is_still_being_built_is_reported_as_compiling(starting_server):
    pytest.importorskip("carla")
    found = {finding.name: finding for finding in examine(port=starting_server)}
    assert found["server"].state == "absent"
    assert "compiling" in found["server"].detail


@pytest.mark.carla
def test_a_server_is_asked_for_its_world(blank_minitown):
    pytest.importorskip("carla")
    found = {finding.name: finding for finding in examine(port=blank_minitown.port)}
    assert found["server"].state == "ok"
    assert re.search(r"CARLA 0\.9\.16 .* episode \d+, map .*MiniTown", found["server"].detail)
