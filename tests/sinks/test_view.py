import http.client
import json
import shutil
import socket
import subprocess
import threading
import time
from contextlib import closing, suppress
from itertools import pairwise

import cv2
import numpy as np
import pytest

from realmaster_live.errors import ConfigError
from realmaster_live.protocols import Sink
from realmaster_live.sinks.view import LiveView

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture
def view():
    with LiveView() as view:
        yield view


@pytest.fixture
def feeding(view, chunk_at):
    """Write a chunk every 0.2 s meanwhile."""
    done = threading.Event()

    def feed():
        index = 0
        while not done.wait(0.2):
            view.write(chunk_at(index))
            index += 1

    thread = threading.Thread(target=feed)
    thread.start()
    yield view
    done.set()
    thread.join()


def connection(view):
    return http.client.HTTPConnection(view.url.removeprefix("http://").rstrip("/"), timeout=10)


def get(view, path, **headers):
    with closing(connection(view)) as client:
        client.request("GET", path, headers=headers)
        response = client.getresponse()
        return response.status, response.read()


def until(condition, seconds=10.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_it_is_a_sink_on_this_machine_only(view):
    assert isinstance(view, Sink)
    assert view.url.startswith("http://127.0.0.1:")
    other = {info[4][0] for info in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)}
    port = int(view.url.rstrip("/").rpartition(":")[2])
    for address in other - {"127.0.0.1"}:
        with pytest.raises(OSError), socket.create_connection((address, port), 1):
            pass


def test_a_foreign_host_name_is_refused(view):
    assert get(view, "/")[0] == 200
    for host in ("attacker.example", "127.0.0.1.attacker.example", "[", "", "localhost@evil:80"):
        assert get(view, "/stats.json", Host=host)[0] == 403
    for host in ("localhost", "LOCALHOST:9000", "[::1]:9000", "localhost.:9000", "127.0.0.1"):
        assert get(view, "/stats.json", Host=host)[0] == 200


@pytest.mark.parametrize("path", ["/", "/stats.json", "/live.mjpg"])
def test_another_sites_page_is_refused(view, path):
    for headers in (
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "image", "Sec-Fetch-Mode": "no-cors"},
        {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Dest": "empty"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "iframe"},
        {"Origin": "https://attacker.example"},
        {"Origin": "http://localhost:1"},
        {"Origin": "null"},
    ):
        assert get(view, path, **headers)[0] == 403, headers


def test_its_own_page_and_people_are_answered(view):
    own = view.url.removeprefix("http://").rstrip("/")
    for headers in (
        {},
        {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Dest": "empty"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "https://a.proxy"},
        {"Sec-Fetch-Site": "none", "Sec-Fetch-Dest": "document"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "document"},  # a link in a chat
        {"Origin": f"http://{own}"},
    ):
        assert get(view, "/stats.json", **headers)[0] == 200, headers
    with closing(connection(view)) as client:
        client.request("GET", "/")
        headers = client.getresponse().headers
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "frame-ancestors" in headers["Content-Security-Policy"]


def test_rubbish_and_half_a_request_leave_no_traceback(view, caplog):
    port = int(view.url.rstrip("/").rpartition(":")[2])
    for data in (
        b"GET / HT", b"GET / HTTP/1.1\r\nHost: loc", b"\x16\x03\x01rubbish\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 50\r\n\r\nhalf",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 100_000 + b"\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n", b"GET http://[ HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ):  # fmt: skip
        with socket.create_connection(("127.0.0.1", port), 5) as client:
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)
            with suppress(ConnectionError):
                while client.recv(4096):
                    pass
    assert get(view, "/")[0] == 200
    assert "Traceback" not in caplog.text and not caplog.records


def test_the_page_loads_nothing_from_elsewhere(view):
    _, page = get(view, "/")
    assert b'src="live.mjpg"' in page and b'fetch("stats.json")' in page  # below any path
    assert b"http://" not in page
    assert b"https://" not in page


def test_the_stream_shows_render_and_realized_side_by_side(feeding, chunk_at):
    client = connection(feeding)
    client.request("GET", "/live.mjpg")
    response = client.getresponse()
    assert response.headers["Content-Type"].startswith("multipart/x-mixed-replace")
    pictures = []
    while len(pictures) < 6:
        line = response.readline().strip()
        if line.startswith(b"Content-Length"):
            size = int(line.split()[1])
            response.readline()
            encoded = np.frombuffer(response.read(size), np.uint8)
            pictures.append(cv2.imdecode(encoded, cv2.IMREAD_COLOR)[..., ::-1].astype(int))
    client.close()
    width = chunk_at(0).frames.shape[2]
    sky = pictures[-1][4, 4], pictures[-1][4, width + 12]
    np.testing.assert_allclose(sky[0], (120, 160, 220), atol=8)
    np.testing.assert_allclose(sky[1], (135, 95, 35), atol=8)
    assert any(abs(a - b).max() > 40 for a, b in pairwise(pictures))


def test_figures_are_there_for_the_page(feeding):
    until(lambda: feeding.shown > 20)
    stats = json.loads(get(feeding, "/stats.json")[1])
    assert 10 < stats["fps"] < 40
    assert 0 < stats["latency_ms"] < 2000
    assert stats["frame_id"] >= 1000
    assert stats["shown"] > 20


def test_the_oldest_pictures_go_and_are_counted(view, chunk_at):
    view.write(chunk_at(0))
    until(lambda: view.shown == 4)
    time.sleep(0.4)  # from now on a picture stays a while
    began = time.monotonic()
    for index in range(1, 11):
        view.write(chunk_at(index))
    assert time.monotonic() - began < 1.0  # never blocks
    assert view.dropped > 0
    until(lambda: view.shown + view.dropped == 44)
    assert view.stats()["frame_id"] == 1043  # the newest is what remains


def test_losses_before_the_view_are_shown(view, chunk_at):
    chunk = chunk_at(0)
    object.__setattr__(chunk, "dropped_before", 3)
    view.write(chunk)
    assert view.stats()["lost"] == 3


def test_closing_ends_the_thread_and_the_streams(chunk_at):
    view = LiveView()
    view.write(chunk_at(0))
    with closing(connection(view)) as client:
        client.request("GET", "/live.mjpg")
        with client.getresponse() as response:
            assert response.readline()
            view.close()
            view.close()
            assert "rm-view" not in {thread.name for thread in threading.enumerate()}
            with suppress(ConnectionError, http.client.HTTPException):
                while response.read(4096):
                    pass  # the stream ends, cleanly or not
    with pytest.raises(OSError):
        get(view, "/")


def test_a_taken_port_is_a_config_error(view):
    with pytest.raises(ConfigError, match="free port"):
        LiveView(port=int(view.url.rstrip("/").rpartition(":")[2])).open()


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")
def test_a_real_browser_shows_the_pictures(feeding, tmp_path):
    until(lambda: feeding.shown > 4)
    target = tmp_path / "page.png"
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--timeout=4000"]
    subprocess.run(
        [*command, f"--user-data-dir={tmp_path}/profile", "--window-size=1000,700",
         f"--screenshot={target}", feeding.url],
        capture_output=True,
        timeout=60,
        check=True,
    )  # fmt: skip
    page = cv2.imread(str(target))[..., ::-1].astype(int)
    sky = abs(page - (120, 160, 220)).max(axis=2) < 12  # of the simulator's picture
    inverted = abs(page - (135, 95, 35)).max(axis=2) < 12  # of the realized one
    assert sky[:, :500].sum() > 10_000
    assert inverted[:, 500:].sum() > 10_000
    assert not sky[:, 520:].any()
