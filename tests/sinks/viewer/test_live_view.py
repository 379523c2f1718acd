import json
import re
import socket
import threading
import time
from contextlib import closing, suppress
from http.client import HTTPException
from itertools import pairwise

import cv2
import numpy as np
import pytest
from waiting import until

from realmaster_live.errors import ConfigError
from realmaster_live.protocols import RunSink, Sink
from realmaster_live.sinks.viewer.live_view import LiveView
from realmaster_live.sinks.viewer.routes import FILES, STATIC


def test_it_is_a_sink_on_this_machine_only(view, client):
    assert isinstance(view, Sink) and isinstance(view, RunSink)
    assert view.url.startswith("http://127.0.0.1:") and "token" not in view.url
    other = {info[4][0] for info in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)}
    for address in other - {"127.0.0.1"}:
        with pytest.raises(OSError), socket.create_connection((address, client.port), 1):
            pass


def test_rubbish_and_half_a_request_leave_no_traceback(client, caplog):
    for data in (
        b"GET / HT", b"GET / HTTP/1.1\r\nHost: loc", b"\x16\x03\x01rubbish\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50\r\n\r\nhalf",
        b"POST /prompt HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50\r\n\r\nhalf",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n", b"GET http://[ HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nOrigin: http://[\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ):  # fmt: skip
        with socket.create_connection(("127.0.0.1", client.port), 5) as link:
            link.sendall(data)
            link.shutdown(socket.SHUT_WR)
            with suppress(ConnectionError):
                while link.recv(4096):
                    pass
    assert client.get("/")[0] == 200
    assert "Traceback" not in caplog.text and not caplog.records


def test_the_page_loads_nothing_from_elsewhere_and_works_below_any_path(client):
    status, page = client.get("/")
    assert status == 200 and b'src="static/app.js"' in page
    assert {path.name for path in STATIC.iterdir()} == {"index.html", *FILES}
    for path in STATIC.iterdir():
        text = path.read_text().replace('xmlns="http://www.w3.org/2000/svg"', "")
        assert "http://" not in text and "https://" not in text, path
        assert not re.search(r"""(src|href)="/|(fetch|EventSource|post)\(["'`]/""", text), path
    for name, kind in FILES.items():
        status, headers, content = client.ask("GET", f"/static/{name}")
        assert status == 200 and headers.get_content_type() == kind
        assert content == (STATIC / name).read_bytes()
    for name in ("other.js", "..%2Froutes.py", "index.html"):
        assert client.get(f"/static/{name}")[0] == 404


def pictures_of(response):
    """Yield the pictures of a multipart stream as (H, W, 3) sRGB."""
    while line := response.readline():
        if line.startswith(b"Content-Length"):
            size = int(line.split()[1])
            response.readline()
            encoded = np.frombuffer(response.read(size), np.uint8)
            yield cv2.imdecode(encoded, cv2.IMREAD_COLOR)[..., ::-1].astype(int)


def test_the_stream_shows_render_and_realized_side_by_side(feeding, client, chunk_at):
    with closing(client.connect()) as link:
        link.request("GET", "/live.mjpg")
        response = link.getresponse()
        assert response.headers["Content-Type"].startswith("multipart/x-mixed-replace")
        pictures = [picture for picture, _ in zip(pictures_of(response), range(6), strict=False)]
    height, width = chunk_at(0).frames.shape[1:3]
    assert pictures[0].shape == (height, 2 * width, 3)
    sky = pictures[-1][4, 4], pictures[-1][4, width + 12]
    np.testing.assert_allclose(sky[0], (120, 160, 220), atol=8)
    np.testing.assert_allclose(sky[1], (135, 95, 35), atol=8)
    assert any(abs(a - b).max() > 40 for a, b in pairwise(pictures))


def test_figures_are_there_for_the_page(feeding, client):
    until(lambda: feeding.shown > 20)
    stats = json.loads(client.get("/stats.json")[1])
    assert 0 < stats["fps"] < 100  # 20 on a machine that keeps up
    assert 0 < stats["latency_ms"] < 60_000
    assert stats["frame_id"] >= 1000
    assert stats["shown"] > 20


def test_the_oldest_pictures_go_and_are_counted(view, chunk_at):
    view.write(chunk_at(0))
    until(lambda: view.shown == 4)
    time.sleep(0.4)  # from now on a picture stays a while
    for index in range(1, 11):
        view.write(chunk_at(index))
    assert view.dropped > 0
    until(lambda: view.shown + view.dropped == 44)
    until(lambda: view.stats()["frame_id"] == 1043)  # the newest is what remains


def test_losses_before_the_view_are_shown(view, chunk_at):
    chunk = chunk_at(0)
    object.__setattr__(chunk, "dropped_before", 3)
    view.write(chunk)
    assert view.stats()["lost"] == 3


def test_closing_ends_the_threads_and_the_streams(chunk_at, client_of):
    view = LiveView()
    view.write(chunk_at(0))
    client = client_of(view)
    with closing(client.connect()) as link:
        link.request("GET", "/live.mjpg")
        with link.getresponse() as response:
            assert response.readline()
            view.close()
            view.close()
            names = [thread.name for thread in threading.enumerate()]
            assert not [name for name in names if name.startswith("rm-view")]
            with suppress(ConnectionError, HTTPException):
                while response.read(4096):
                    pass  # the stream ends, cleanly or not
    with pytest.raises(OSError):
        client.get("/")
    with pytest.raises(ConfigError, match="closed one"):
        view.open()


def test_a_taken_port_is_a_config_error(client):
    with pytest.raises(ConfigError, match="free port"):
        LiveView(port=client.port).open()


@pytest.mark.parametrize("port", [-1, 65536, "8000"])
def test_a_port_that_is_none_is_refused_at_once(port):
    with pytest.raises(ConfigError, match=r"expected a port from 0 to 65535 for the view, got"):
        LiveView(port=port)
