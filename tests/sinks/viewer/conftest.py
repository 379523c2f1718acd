"""A view that is fed by two cameras, and what asks it."""

import http.client
import json
import threading
from contextlib import closing
from dataclasses import dataclass, field, replace

import pytest

from realmaster_live.sinks.viewer.live_view import LiveView


@dataclass
class Client:
    """Asks a view by plain HTTP."""

    view: LiveView
    headers: dict = field(default_factory=dict)

    @property
    def place(self):
        return self.view.url.removeprefix("http://").partition("/")[0]

    @property
    def port(self):
        return int(self.place.rpartition(":")[2])

    def connect(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)

    def ask(self, method, path, body=None, **headers):
        """Return status, headers and content."""
        with closing(self.connect()) as connection:
            connection.request(method, path, body, self.headers | headers)
            response = connection.getresponse()
            return response.status, response.headers, response.read()

    def get(self, path, **headers):
        status, _, content = self.ask("GET", path, **headers)
        return status, content

    def json(self, path):
        return json.loads(self.get(path)[1])

    def post(self, path, values, **headers):
        headers = {"Content-Type": "application/json"} | headers
        status, _, content = self.ask("POST", path, json.dumps(values), **headers)
        return status, json.loads(content) if content.startswith(b"{") else content


@pytest.fixture
def view():
    with LiveView() as view:
        yield view


@pytest.fixture
def client(view):
    return Client(view)


@pytest.fixture
def client_of():
    return Client


@pytest.fixture
def rig_at(chunk_at):
    """The function that returns the chunks of two cameras at the same ticks."""

    def make(index, **options):
        front = chunk_at(index, **options)
        left = replace(front, camera="left", frames=front.frames[:, :, ::-1])
        return [front, left]

    return make


@pytest.fixture
def feeding(view, rig_at):
    """The view while two cameras write a chunk every 0.2 s."""
    done = threading.Event()

    def feed():
        index = 0
        while not done.wait(0.2):
            for chunk in rig_at(index):
                view.write(chunk)
            index += 1

    thread = threading.Thread(target=feed)
    thread.start()
    yield view
    done.set()
    thread.join()
