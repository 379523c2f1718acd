import json
import socket
import time
from contextlib import closing

import pytest
from waiting import until

from realmaster_live.sinks.viewer.mosaic import Watch
from realmaster_live.sinks.viewer.streams import MOST_READERS


def events_of(response, count):
    """Return so many events: name and value."""
    events = []
    while len(events) < count:
        line = response.readline().decode()
        assert line
        if line.startswith("event: "):
            name = line.removeprefix("event: ").strip()
            events.append((name, json.loads(response.readline().decode().removeprefix("data: "))))
    return events


def test_events_carry_the_state_and_the_seconds(feeding, client):
    until(lambda: feeding.shown > 4)
    with closing(client.connect()) as link:
        link.request("GET", "/events")
        response = link.getresponse()
        assert response.headers.get_content_type() == "text/event-stream"
        events = events_of(response, 7)
    names = [name for name, _ in events]
    assert names[0] == "state" and "seconds" in names and "boxes" not in names
    seconds = [one for name, value in events if name == "seconds" for one in value]
    assert [one["number"] for one in seconds] == sorted({one["number"] for one in seconds})
    assert any(one["shown"] for one in seconds)


def test_boxes_come_with_their_moments_number(feeding, client):
    until(lambda: feeding.shown > 4)
    with closing(client.connect()) as link:
        link.request("GET", "/events?boxes=front&boxes=rear")
        events = events_of(link.getresponse(), 12)
    boxes = [value for name, value in events if name == "boxes"]
    numbers = [value["number"] for value in boxes]
    assert len(numbers) > 3 and numbers == sorted(set(numbers))
    for value in boxes:
        assert set(value["cameras"]) == {"front"}
        (box,) = value["cameras"]["front"]
        assert box["text"].startswith("car ")


def test_a_browser_that_never_reads_slows_nothing(view, client, chunk_at):
    with socket.create_connection(("127.0.0.1", client.port)) as link:
        link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        link.sendall(b"GET /live.mjpg HTTP/1.1\r\nHost: localhost\r\n\r\n")
        chunks = [chunk_at(index, size=(640, 360), labels=()) for index in range(4)]
        for number in range(60):
            view.write(chunks[number % 4])  # never waits: the test would not end
            time.sleep(0.01)
        until(lambda: view.shown + view.dropped == 240)
        assert client.get("/stats.json")[0] == 200  # others are answered
        assert len(view._screen._drawn[1]) <= 1  # and what is kept is one picture


def test_all_pages_that_watch_the_same_share_one_picture(feeding, client):
    until(lambda: feeding.shown > 4)
    links = [client.connect() for _ in range(3)]
    for link in links:
        link.request("GET", "/live.mjpg?camera=front&strip=1")
        assert link.getresponse().readline()
    until(lambda: Watch(cameras=("front",), strip=True) in feeding._screen._drawn[1])
    assert len(feeding._screen._drawn[1]) == 1
    for link in links:
        link.close()


@pytest.mark.parametrize("path", ["/live.mjpg", "/events"])
def test_too_many_readers_are_refused_and_those_who_left_do_not_count(view, client, path):
    links = [client.connect() for _ in range(MOST_READERS)]
    for link in links:
        link.request("GET", path)
        assert link.getresponse().status == 200
    assert client.get(path)[0] == 503
    for link in links:
        link.close()

    def is_answered():
        with closing(client.connect()) as link:
            link.request("GET", path)
            return link.getresponse().status == 200

    until(is_answered)
