"""Recordings whose truth is known, and a page that shows them."""

import http.client
import json
from contextlib import closing
from dataclasses import dataclass, replace

import pytest
from driven_scene import FPS, ROADS, SIZE, driven_chunk

from realmaster_live import ChunkSpec, SourceInfo
from realmaster_live.datasets.view.page import DatasetView
from realmaster_live.recording import About, Recorder

SCORES = (0.9, 0.3, 0.8)  # of the three segments' frames


@dataclass
class Client:
    """Asks a page by plain HTTP."""

    view: DatasetView

    def ask(self, method, path, body=None, **headers):
        """Return status and content."""
        place = self.view.url.removeprefix("http://").partition("/")[0]
        with closing(http.client.HTTPConnection(place, timeout=60)) as connection:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            return response.status, response.read()

    def get(self, path, **headers):
        return self.ask("GET", path, **headers)

    def json(self, path):
        status, content = self.get(path)
        assert status == 200, content
        return json.loads(content)

    def post(self, path, values, **headers):
        headers = {"Content-Type": "application/json"} | headers
        status, content = self.ask("POST", path, json.dumps(values), **headers)
        return status, json.loads(content)


def record(folder, *, town="Town01", weathers=("ClearNoon", "HardRainNoon", "ClearNoon")):
    """Record three segments of one chunk for two cameras: frames 0..3, 4..7 and 8..11."""
    width, height = SIZE
    spec = ChunkSpec(frames=4, height=height, width=width, fps=FPS)
    with Recorder(
        folder, spec, about=About(town=town), segment_s=4 / FPS, opendrive={town: ROADS}
    ) as recorder:
        for index, (weather, score) in enumerate(zip(weathers, SCORES, strict=True)):
            for camera in ("front", "back"):
                chunk = driven_chunk(index, camera, trust=score)
                source = recorder_source(town, weather)
                recorder.write(replace(chunk, sources=(source,) * 4))
    return folder


def recorder_source(town, weather):

    return SourceInfo(town=town).in_conditions(town, weather)


@pytest.fixture(scope="session")
def drives(tmp_path_factory):
    """Two recordings of the same street in different towns; nobody may change them."""
    root = tmp_path_factory.mktemp("drives")
    return record(root / "one"), record(root / "two", town="Town02")


@pytest.fixture
def view(drives):
    with DatasetView(drives) as view:
        yield view


@pytest.fixture
def client(view):
    return Client(view)


@pytest.fixture
def client_of():
    return Client


@pytest.fixture
def recorded():
    """The function that records one more."""
    return record
