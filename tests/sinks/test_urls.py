"""The URLs of --to: each scheme's module, its pip command, and what is wrong with others."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import realmaster_live as rm
from realmaster_live.cli import main
from realmaster_live.errors import ConfigError, MissingDependency
from realmaster_live.optional import pip_command
from realmaster_live.sinks.urls import SCHEMES, SinkUrl

ROOT = Path(__file__).parent.parent.parent
EXAMPLES = {
    "ros2": "ros2:42/sim",
    "rosbag": "rosbag:bag",
    "mcap": "mcap:drive.mcap",
    "foxglove": "foxglove:127.0.0.1:0",
    "rerun": "rerun:drive.rrd",
    "rtsp": "rtsp://127.0.0.1:8554/drive",
    "srt": "srt://127.0.0.1:9000",
    "rtmp": "rtmp://127.0.0.1/live/drive",
    "camera": "camera:/dev/video2",
    "shm": "shm:drive",
    "zmq": "zmq://127.0.0.1:5555",
    "video": "video:drive.mp4",
}


def test_every_scheme_has_an_example_and_an_extra():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert EXAMPLES.keys() == SCHEMES.keys()
    assert {one.extra for one in SCHEMES.values()} <= extras["optional-dependencies"].keys()


@pytest.mark.parametrize("scheme", SCHEMES)
def test_making_a_sink_opens_nothing(scheme, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    sink = rm.open_sink(EXAMPLES[scheme])
    assert sink.policy == SCHEMES[scheme].policy and not sink.is_open
    sink.close()
    assert list(tmp_path.iterdir()) == [] and not sink.figures.error


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_missing_package_names_its_pip_command_only(scheme):
    packages = ("cyclonedds", "rosbags", "foxglove", "rerun", "pyvirtualcam", "zmq")
    script = (
        "import sys\n"
        f"for name in {packages}: sys.modules[name] = None\n"
        "import realmaster_live as rm\n"
        f"try: rm.open_sink({EXAMPLES[scheme]!r})\n"
        "except rm.RealMasterError as error: print(type(error).__name__, error)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    extra = SCHEMES[scheme].extra
    if extra == "live":
        assert done.stdout == ""
        return
    assert done.stdout.startswith(MissingDependency.__name__)
    assert pip_command(extra) in done.stdout and done.stdout.count("pip install") == 1


@pytest.mark.parametrize("url", ["ftp://x", "drive.mcap", "", "ros", "Mcap:a", "mcap:a\0b"])
def test_an_unknown_scheme_lists_them(url):
    with pytest.raises(ConfigError) as raised:
        rm.open_sink(url)
    assert all(scheme.form in str(raised.value) for scheme in SCHEMES.values())


@pytest.mark.parametrize(
    "url",
    ["mcap:", "rosbag:", "video:", "shm:", "shm:a/b", "zmq:5555", "zmq:http://x", "ros2:300",
     "ros2:x", "rtsp:host", "rtsp://", "foxglove:a:b", "foxglove:a:70000", "rerun:a:b",
     "video:drive.avi"],
)  # fmt: skip
def test_a_wrong_url_says_its_form(url):
    with pytest.raises(ConfigError) as raised:
        rm.open_sink(url)
    assert SCHEMES[url.partition(":")[0]].form in str(raised.value)


def test_addresses():
    def address(url):
        return SinkUrl.parse(url).address("127.0.0.1", 8765)

    assert address("foxglove:") == ("127.0.0.1", 8765)
    assert address("foxglove:0.0.0.0:1") == ("0.0.0.0", 1)
    assert address("foxglove::9") == ("127.0.0.1", 9)
    assert address("foxglove:[::1]:9") == ("::1", 9)


def test_the_command_line_refuses_before_it_attaches(capsys):
    assert main(["attach", "--to", "nowhere:x", "--port", "1"]) == 2
    assert "expected a URL such as ros2:" in capsys.readouterr().err
    assert main(["attach", "--to", "shm:a", "--to", "shm:a", "--port", "1"]) == 2
    assert "each --to once" in capsys.readouterr().err


def test_help_is_quick_and_imports_none_of_them():
    script = (
        "import sys\nfrom realmaster_live.cli import main\n"
        "try: main(['attach', '--help'])\nexcept SystemExit: pass\n"
        "print(*sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert "--to URL" in done.stdout
    heavy = {"av", "cv2", "cyclonedds", "rosbags", "foxglove", "rerun", "zmq", "opentelemetry",
             "prometheus_client", "aiohttp", "numpy"}  # fmt: skip
    assert not heavy & set(done.stderr.split())


@pytest.mark.parametrize(
    "url", ["zmq://127.0.0.1:99999", "zmq://127.0.0.1", "zmq:", "zmq:ipc://", "zmq://host:a"]
)
def test_zeromq_takes_a_port_that_there_is(url):
    pytest.importorskip("zmq")
    with pytest.raises(ConfigError, match="expected zmq://HOST:PORT, got"):
        rm.open_sink(url)


@pytest.mark.parametrize("url", ["zmq:tcp://*:5555", "zmq:tcp://[::1]:0", "zmq:ipc:///tmp/drive"])
def test_zeromq_takes_its_own_endpoints(url):
    pytest.importorskip("zmq")
    rm.open_sink(url).close()


def test_a_port_that_the_system_chose_for_zeromq_is_said(caplog):
    pytest.importorskip("zmq")
    with rm.open_sink("zmq://127.0.0.1:0"):
        found = re.search(r"ZeroMQ: connect to tcp://127\.0\.0\.1:(\d+)", caplog.text)
        assert found is not None and int(found[1]) > 0


def test_a_namespace_of_ros_is_checked_before_the_run():
    pytest.importorskip("cyclonedds")
    for namespace in ("a b", "1/x", "a//b", "a%"):
        with pytest.raises(ConfigError, match="the namespace"):
            rm.open_sink(f"ros2:/{namespace}")
    rm.open_sink("ros2:42/sim/car_1").close()
