"""The relay between a stand-in for the game and the bridge, each in a process of its own."""

import contextlib
import itertools
import json
import threading
import time

import cv2
import numpy as np
import pytest
from game_server import (
    DEPTH,
    HEIGHT,
    SEMANTIC,
    WIDTH,
    game,
    number_of,
    picture,
    record_drive,
    scripted,
    still,
    verb,
)
from waiting import until

from realmaster_live.bridges.gtav.bridge import GtavBridge
from realmaster_live.bridges.gtav.camera import SKY_M
from realmaster_live.bridges.gtav.link import Request
from realmaster_live.bridges.gtav.protocol.client import Address, connect
from realmaster_live.bridges.gtav.protocol.messages import (
    Commands,
    Config,
    DatasetOptions,
    Scenario,
    Start,
)
from realmaster_live.bridges.gtav.protocol.stamp import read_stamp
from realmaster_live.bridges.gtav.relay.display import FolderDisplay, open_display
from realmaster_live.bridges.gtav.relay.relay import Relay
from realmaster_live.engines.identity_engine import IdentityEngine
from realmaster_live.errors import ConfigError, ConnectError, RecordingError
from realmaster_live.frames.chunk import ChunkSpec
from realmaster_live.live.pipeline import run

LOCAL = Address.parse("deepgtav+tcp://127.0.0.1:0")
SMALL = (32, 18)


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    return record_drive(tmp_path_factory.mktemp("drive"), 800)


def relayed(url, *arguments):
    return verb(
        "gta-relay", "--game", url, "--listen", "127.0.0.1:0", "--game-size", f"{WIDTH}x{HEIGHT}",
        "--near-m", "0.15", "--fov-deg", "50", *arguments,
    )  # fmt: skip


@pytest.mark.parametrize("scheme", ["deepgtav+tcp", "deepgtav+zmq"])
def test_frames_come_small_with_labels_and_what_the_relay_knows(scheme, recording, caplog):
    with (
        game(scheme, recording) as url,
        relayed(url, "--show", "none", "--rate", "30") as (port, _),
        GtavBridge(
            f"deepgtav+tcp://127.0.0.1:{port}", width=SMALL[0], height=SMALL[1], fps=10
        ) as bridge,
    ):
        frames = list(itertools.islice(bridge.frames(), 6))
        info = bridge.info
    for frame in frames:
        full = cv2.resize(picture(number_of(frame)), SMALL, interpolation=cv2.INTER_AREA)
        # noise of single pixels, the worst there is for a filter that is not the same
        assert np.abs(frame.image.astype(int) - full).mean() < 16
        nearest = cv2.resize(DEPTH, SMALL, interpolation=cv2.INTER_NEAREST_EXACT)
        near = nearest < 100
        np.testing.assert_allclose(frame.labels["depth"][near], nearest[near], rtol=1e-4)
        assert (frame.labels["depth"][~near] == SKY_M).all()
        kinds = cv2.resize(SEMANTIC, SMALL, interpolation=cv2.INTER_NEAREST_EXACT)
        np.testing.assert_array_equal(frame.labels["semantic"], kinds)
        focal = HEIGHT / 2 / np.tan(np.radians(25.0))
        np.testing.assert_allclose(
            np.diag(frame.intrinsics), [focal * 32 / 65, focal * 18 / 36, 1.0]
        )
    assert (info.near_m, info.near_is_default) == (0.15, False)
    assert "default" not in caplog.text


def test_realized_chunks_come_back_and_are_shown(recording, tmp_path):
    spec = ChunkSpec(frames=4, width=SMALL[0], height=SMALL[1], fps=20.0)
    shown = tmp_path / "shown"
    with (
        game("deepgtav+tcp", recording) as url,
        relayed(url, "--show", shown) as (port, process),
    ):
        bridge = GtavBridge(
            f"deepgtav+tcp://127.0.0.1:{port}", width=SMALL[0], height=SMALL[1], fps=20
        )
        kept = Collector()
        run(bridge, IdentityEngine(spec), [kept, bridge], max_frames=24)
        deadline = time.monotonic() + 60.0
        while len(list(shown.glob("*.png"))) < 8 and time.monotonic() < deadline:
            time.sleep(0.05)
        process.terminate()
        summary = process.stdout.read()
    files = sorted(shown.glob("*.png"))
    assert len(files) >= 8
    sent = {frame.tobytes() for chunk in kept.chunks for frame in chunk.frames}
    for file in files[:-1]:  # the last may be cut short by the end
        back = cv2.imread(str(file))
        assert back.shape == (SMALL[1], SMALL[0], 3)
        assert cv2.cvtColor(back, cv2.COLOR_BGR2RGB).tobytes() in sent
    assert "relayed: " in summary and " shown" in summary


class Collector:
    """A sink that keeps the chunks."""

    def __init__(self):
        self.chunks = []

    def write(self, chunk):
        self.chunks.append(chunk)

    def close(self):
        pass


@contextlib.contextmanager
def relay_of(url, display=None, **options):
    """Run a relay on threads of this process; yields it and a stream of its frames."""
    request = Request(game_size=(12, 8), rate=100.0)
    with Relay(url, LOCAL, request=request, size=SMALL, display=display, **options) as relay:
        address = Address(scheme="deepgtav+tcp", host="127.0.0.1", port=relay.port)
        with contextlib.closing(connect(address, 12, 8)) as stream:
            yield relay, stream


def ever_new(door, received):
    still(door, time.monotonic_ns(), {"speed": 3.0})
    time.sleep(0.01)


def test_what_a_client_says_is_passed_on_but_not_what_it_wants_to_receive():
    with scripted(ever_new) as (url, received), relay_of(url) as (_, stream):
        stream.send(Start(dataset=DatasetOptions(frame=(12, 8))))
        stream.send(Commands(throttle=1.0, brake=0.0, steering=0.5))
        stream.send(Config(scenario=Scenario(weather="RAIN"), dataset=DatasetOptions(rate=1.0)))
        until(lambda: len(received) == 3)
        assert stream.receive(30.0).fields["speed"] == 3.0
    assert received[0].dataset.rate == 100.0  # the relay's own start
    assert received[1:3] == [
        Commands(throttle=1.0, brake=0.0, steering=0.5),
        Config(scenario=Scenario(weather="RAIN"), dataset=DatasetOptions()),
    ]


def test_stamps_hold_the_count_and_the_time():
    with scripted(ever_new) as (url, _), relay_of(url, near_m=0.2) as (relay, stream):
        stream.send(Start(dataset=DatasetOptions(frame=(12, 8))))
        stamps = [read_stamp(stream.receive(30.0).fields) for _ in range(5)]
        until(lambda: relay.counts["sent"] >= 5)
    assert all(after.index > before.index for before, after in itertools.pairwise(stamps))
    assert all(after.time_s > before.time_s for before, after in itertools.pairwise(stamps))
    assert 0 <= time.monotonic() - stamps[-1].time_s < 60
    assert (stamps[0].near_m, stamps[0].source_size) == (0.2, (12, 8))
    assert not stamps[0].takes_realized  # nothing to show it on


def test_a_game_and_a_relay_without_a_show_are_sent_no_chunk():
    spec = ChunkSpec(frames=2, width=12, height=8, fps=20.0)
    with scripted(ever_new) as (url, received):
        with GtavBridge(url, width=12, height=8, fps=20) as bridge:
            run(bridge, IdentityEngine(spec), [bridge], max_frames=6)
        until(lambda: len(received) == 2)
    assert [type(message).__name__ for message in received] == ["Start", "Stop"]


def test_a_client_that_sleeps_gets_the_newest_frame():
    def flood(door, received):
        still(door, time.monotonic_ns(), {"padding": "x" * 200_000})

    with scripted(flood) as (url, _), relay_of(url) as (relay, stream):
        stream.send(Start(dataset=DatasetOptions(frame=(12, 8))))
        stream.receive(30.0)
        until(lambda: relay.counts["overtaken"] > 50)
        while time.monotonic() - read_stamp(stream.receive(30.0).fields).time_s > 2.0:
            pass  # what the sockets hold; then comes what is new


def test_one_client_after_the_other_and_rubbish_in_between(caplog):
    with scripted(ever_new) as (url, _), relay_of(url) as (relay, first):
        first.send(Start(dataset=DatasetOptions(frame=(12, 8))))
        first.receive(30.0)
        first.send(b"RMC1 no chunk")
        first.send(b"{}")
        first.receive(30.0)
        first.close()
        address = Address(scheme="deepgtav+tcp", host="127.0.0.1", port=relay.port)
        with contextlib.closing(connect(address, *SMALL)) as second:
            second.send(Start())  # no size: the relay's own
            assert second.receive(30.0).bgr.shape == (SMALL[1], SMALL[0], 3)
    assert "expected a realized chunk" in caplog.text
    assert "expected one of the messages" in caplog.text


class CountingDisplay:
    """A display that only counts."""

    def __init__(self):
        self.pictures = []

    def show(self, picture):
        self.pictures.append(picture.shape)

    def idle(self):
        pass

    def close(self):
        pass


def chunk_body(head, pixels=b""):
    text = head.encode()
    return b"RMC1" + len(text).to_bytes(4, "little") + text + pixels


HOSTILE = [
    chunk_body('{"shape": [Infinity, 1, 1, 3], "timestamps": []}'),
    chunk_body('{"shape": [1, 1, 1, 3], "timestamps": [' + "9" * 400 + "]}", b"abc"),
    chunk_body(json.dumps({"shape": [100_000, 1, 1, 3], "timestamps": []}), bytes(300_000)),
    b'{"start": {"dataset": {"frame": [16384, 16384]}}}',
    b'{"start": {"dataset": {"rate": ' + b"9" * 400 + b"}}}",
    b'{"start": {"dataset": {' + b'"x": [1, 2, 3], ' * 9000 + b'"y": 1}}}',
    json.dumps({"config": {"scenario": {"weather": "\u00e4" * 1500}}}, ensure_ascii=False).encode(),
    json.dumps({"CreateVehicle": None}).encode(),
    b"[" * 4000,
]


def test_a_hostile_client_costs_only_itself(caplog):
    display = CountingDisplay()
    with scripted(ever_new) as (url, _), relay_of(url, display) as (relay, stream):
        working = threading.Thread(target=relay.run)
        working.start()
        for body in HOSTILE:
            stream.send(body)
        stream.send(Start(dataset=DatasetOptions(frame=(12, 8))))
        assert stream.receive(30.0).bgr.shape == (8, 12, 3)
        good = {"shape": [2, 8, 12, 3], "timestamps": [0.0, 0.05]}
        stream.send(chunk_body(json.dumps(good), bytes(2 * 8 * 12 * 3)))
        until(lambda: display.pictures == [(8, 12, 3)] * 2)
        assert stream.receive(30.0).bgr.shape == (8, 12, 3)
        assert working.is_alive()
        relay.close()
        working.join()
    assert len([r for r in caplog.records if r.message.startswith("left out")]) == len(HOSTILE)


def test_a_client_that_says_nothing_loses_its_turn():
    with scripted(ever_new) as (url, _), relay_of(url, idle_s=0.0) as (relay, silent):
        silent.send(b"{}")
        address = Address(scheme="deepgtav+tcp", host="127.0.0.1", port=relay.port)
        with contextlib.closing(connect(address, 12, 8)) as second:
            second.send(Start(dataset=DatasetOptions(frame=(12, 8))))
            assert second.receive(10.0).bgr.shape == (8, 12, 3)
            with pytest.raises(ConnectError):
                silent.receive(30.0)


def test_a_game_that_was_away_is_found_again(caplog):
    def leaves(door, received):
        still(door, time.monotonic_ns())
        if len(received) == 1:
            door.drop()
            received.append("left")

    with scripted(leaves) as (url, _), relay_of(url) as (_, stream):
        stream.send(Start(dataset=DatasetOptions(frame=(12, 8))))
        until(lambda: "connected again" in caplog.text)
        stream.receive(30.0)


def test_the_end_of_a_video_ends_the_relay(tmp_path):
    file = str(tmp_path / "clip.mp4")
    writer = cv2.VideoWriter(file, cv2.VideoWriter_fourcc(*"mp4v"), 50.0, (64, 48))
    for number in range(10):
        writer.write(np.full((48, 64, 3), 20 * number, np.uint8))
    writer.release()
    with Relay(f"device://{file}", LOCAL, request=Request(game_size=(64, 48), rate=50.0)) as relay:
        relay.run(20.0)
        assert relay.counts["captured"] == 10


def test_a_relay_listens_over_tcp_only():
    request = Request(game_size=(12, 8), rate=100.0)
    with pytest.raises(ConfigError, match="expected to listen at deepgtav"):
        Relay("device://0", Address.parse("deepgtav+zmq://127.0.0.1:0"), request=request)


def test_no_game_is_reported_at_once():
    request = Request(game_size=(12, 8), rate=100.0)
    with pytest.raises(ConnectError, match="expected a game"):
        Relay("deepgtav+tcp://127.0.0.1:1", LOCAL, request=request)


def test_shows_that_cannot_be(tmp_path):
    (tmp_path / "there").write_text("x")
    with pytest.raises(ConfigError, match="expected a new folder"):
        FolderDisplay(tmp_path)
    with pytest.raises(ConfigError, match="expected a folder for realized pictures"):
        FolderDisplay(tmp_path / "there" / "below")
    gone = FolderDisplay(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(RecordingError, match=r"expected to write .*000000\.png"):
        gone.show(np.zeros((8, 8, 3), np.uint8))
    with pytest.raises(ConfigError, match="such as 1920x1080"):
        open_display("window:large", fps=20)
    assert open_display("none", fps=20) is None
