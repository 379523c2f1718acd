import http.client
import json
import socket
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from realmaster_live.errors import ConfigError
from realmaster_live.sinks.opening import DisplayOptions, open_displays
from realmaster_live.sinks.viewer.live_view import LiveView

TOKEN = "a-good-long-token"
OTHER_SITES = (
    {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "image", "Sec-Fetch-Mode": "no-cors"},
    {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Dest": "empty"},
    {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "iframe"},
    {"Origin": "https://attacker.example"},
    {"Origin": "http://localhost:1"},
    {"Origin": "null"},
    {"Origin": "http://["},
)
JSON = {"Content-Type": "application/json"}


@pytest.fixture
def shared(client_of):
    with LiveView(host="0.0.0.0", token=TOKEN) as view:
        yield client_of(view)


def test_a_foreign_host_name_is_refused(client):
    assert client.get("/")[0] == 200
    for host in ("attacker.example", "127.0.0.1.attacker.example", "[", "", "localhost@evil:80"):
        assert client.get("/stats.json", Host=host)[0] == 403
    for host in ("localhost", "LOCALHOST:9000", "[::1]:9000", "localhost.:9000", "127.0.0.1"):
        assert client.get("/stats.json", Host=host)[0] == 200


@pytest.mark.parametrize(
    "path", ["/", "/stats.json", "/state.json", "/live.mjpg", "/events", "/snapshot.png",
             "/static/app.js"])  # fmt: skip
def test_another_sites_page_is_refused(client, path):
    for headers in OTHER_SITES:
        assert client.get(path, **headers)[0] == 403, headers


@pytest.mark.parametrize("path", ["/prompt", "/strength", "/seed", "/recording", "/offer"])
def test_another_sites_page_changes_nothing(client, path):
    link = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "document"}
    for headers in (*OTHER_SITES, link):
        assert client.ask("POST", path, b"{}", **JSON, **headers)[0] == 403, headers
    assert client.ask("GET", path)[0] == 405
    forms = ("application/x-www-form-urlencoded", "text/plain", "multipart/form-data; boundary=x")
    for kind in forms:
        assert client.ask("POST", path, b"{}", **{"Content-Type": kind})[0] == 415


def test_its_own_page_and_people_are_answered(client):
    for headers in (
        {},
        {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Dest": "empty"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "https://a.proxy"},
        {"Sec-Fetch-Site": "none", "Sec-Fetch-Dest": "document"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "document"},  # a link in a chat
        {"Origin": f"http://{client.place}"},
    ):
        assert client.get("/stats.json", **headers)[0] == 200, headers
    headers = client.ask("GET", "/")[1]
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "frame-ancestors" in headers["Content-Security-Policy"]
    refused = client.ask("GET", "/", Host="attacker.example")[1]
    assert refused["X-Content-Type-Options"] == "nosniff"


def test_outside_this_machine_a_token_is_made_and_part_of_the_address(client_of):
    tokens = set()
    for _ in range(2):
        with LiveView(host="0.0.0.0") as view:
            address, _, token = view.url.partition("/?token=")
            tokens.add(token)
            assert len(token) >= 20 and not address.startswith("http://0.0.0.0")
            assert token not in repr(view)
            assert client_of(view).get("/state.json")[0] == 401
    assert len(tokens) == 2


@pytest.mark.parametrize("path", ["/state.json", "/stats.json", "/live.mjpg", "/events",
                                  "/snapshot.png", "/static/app.js", "/nowhere"])  # fmt: skip
def test_without_the_token_nothing_is_seen(shared, path):
    for headers in (
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": f"Bearer {TOKEN[:-1]}"},
        {"Cookie": f"token={TOKEN}"},
    ):
        assert shared.get(path, **headers)[0] == 401
    assert shared.get(f"{path}?token=wrong")[0] == 401
    assert shared.post("/seed", {"seed": 1})[0] == 401


def test_the_tokens_page_asks_for_it(shared):
    status, page = shared.get("/")
    assert status == 401 and b'type="password"' in page and TOKEN.encode() not in page
    assert shared.get("/static/style.css")[0] == 200
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    status, headers, _ = shared.ask("POST", "/login", "token=wrong", **form)
    assert status == 401 and "Set-Cookie" not in headers
    status, headers, _ = shared.ask("POST", "/login", f"token={TOKEN}", **form)
    assert status == 303 and headers["Location"] == "./"  # below any path
    cookie = headers["Set-Cookie"]
    assert "HttpOnly" in cookie and "SameSite=Lax" in cookie
    assert shared.get("/", Cookie=cookie.partition(";")[0])[0] == 200
    for headers in OTHER_SITES:
        assert shared.ask("POST", "/login", f"token={TOKEN}", **form, **headers)[0] == 403


def test_the_first_visit_leaves_a_cookie(shared):
    status, headers, _ = shared.ask("GET", f"/?token={TOKEN}")
    assert status == 200
    cookie = headers["Set-Cookie"].partition(";")[0]
    assert shared.get("/state.json", Cookie=cookie)[0] == 200
    assert shared.get("/state.json", Cookie=cookie[:-1])[0] == 401
    assert shared.get("/state.json", Authorization=f"Bearer {TOKEN}")[0] == 200
    with LiveView(token="another-good-token") as view:  # of the same host, on another port
        name = view.url.rpartition("=")[2]
        other = http.client.HTTPConnection("127.0.0.1", int(view.url.split(":")[2].split("/")[0]))
        with closing(other):
            other.request("GET", f"/?token={name}")
            second = other.getresponse().headers["Set-Cookie"].partition("=")[0]
    assert second != cookie.partition("=")[0]


def test_with_a_token_other_host_names_are_answered_but_no_other_site(shared):
    known = {"Authorization": f"Bearer {TOKEN}"}
    assert shared.get("/state.json", Host="my-machine:8000", **known)[0] == 200
    assert (
        shared.get("/state.json", Host="my-machine:8000", Origin="http://my-machine:8000", **known)[
            0
        ]
        == 200
    )
    for headers in OTHER_SITES:
        assert shared.get("/state.json", **known, **headers)[0] == 403
        assert (
            shared.ask("POST", "/seed", json.dumps({"seed": 1}), **JSON, **known, **headers)[0]
            == 403
        )


def test_other_machines_reach_it(shared):
    for info in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET):
        with socket.create_connection((info[4][0], shared.port), 2):
            pass


@pytest.mark.parametrize(
    "token", ["short", "", "with space inside", "ümlaut-token-1", "line\nfeed123"]
)
def test_a_token_that_protects_nothing_is_refused(token):
    with pytest.raises(ConfigError, match="expected a token of 8 or more"):
        LiveView(token=token)


@pytest.mark.parametrize(
    "given", [{"view_host": "0.0.0.0"}, {"view_token": TOKEN}, {"view_recordings": Path("drives")}]
)
def test_options_of_the_page_need_the_page(given):
    with pytest.raises(ConfigError, match="expected --view with --view-"):
        DisplayOptions(**given)
    assert DisplayOptions(view=True, **given).is_given


def test_the_options_open_a_page_with_a_token(client_of, capsys):
    with ExitStack() as stack:
        options = DisplayOptions(view=True, view_host="0.0.0.0", view_token=TOKEN)
        (view,) = open_displays(stack, options)
        assert f"/?token={TOKEN}" in capsys.readouterr().err.replace("\n", "")
        assert client_of(view).get("/state.json", Authorization=f"Bearer {TOKEN}")[0] == 200
