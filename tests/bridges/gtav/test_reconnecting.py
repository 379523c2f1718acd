"""A game that leaves, stays away, comes back, says nothing or is not there."""

import itertools
import socket
import threading
import time

import pytest
from game_server import (
    OWN_SIZE,
    SCHEMES,
    game,
    number_of,
    scripted,
    still,
    take,
    verb,
)

from realmaster_live.bridges.gtav.bridge import GtavBridge
from realmaster_live.errors import ConnectError, FrameTimeout


def test_a_game_that_only_repeats_itself_is_reported_as_stale():
    with (
        scripted(lambda door, received: still(door, 1)) as (url, _),
        GtavBridge(url, fps=20, width=12, height=8, timeout_s=2.0) as bridge,
        pytest.raises(FrameTimeout, match=r"nothing new, \d+ stale frames so far"),
    ):
        take(bridge, 2)


def test_empty_annotations_are_no_frames():
    def script(door, received):
        still(door, len(received) + time.monotonic_ns(), {"speed": []})

    with (
        scripted(script) as (url, _),
        GtavBridge(url, fps=20, width=12, height=8, timeout_s=2.0) as bridge,
        pytest.raises(FrameTimeout, match="stale"),
    ):
        take(bridge, 1)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_game_that_leaves_in_mid_frame_is_found_again(scheme, recording, caplog):
    with (
        game(scheme, recording, "--quirk", "disconnect") as url,
        GtavBridge(url, fps=20, **OWN_SIZE) as bridge,
    ):
        frames = take(bridge, 12)
        assert bridge.counts["reconnects"] >= 1
    gaps = [frame for frame in frames if frame.dropped_before]
    assert gaps
    numbers = [frame.frame_id for frame in frames]
    assert [frame.dropped_before for frame in frames[1:]] == [
        after - before - 1 for before, after in itertools.pairwise(numbers)
    ]
    assert "the connection was lost" in caplog.text and "connected again" in caplog.text


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_game_that_does_not_come_back_is_given_up(scheme, recording):
    with verb("gta-standin", f"{scheme}://127.0.0.1:0", recording) as (port, process):
        url = f"{scheme}://127.0.0.1:{port}"
        with GtavBridge(url, fps=20, reconnect_s=0.5, **OWN_SIZE) as bridge:
            frames = bridge.frames()
            next(frames)
            process.kill()
            with pytest.raises(ConnectError, match=r"to come back within [\d.]+ s, got nothing"):
                for _ in frames:
                    pass
            with pytest.raises(ConnectError, match="got none at the moment"):
                bridge.drive(0.0, 1.0, 0.0)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_game_that_is_started_again_gets_the_start_message(scheme, recording):
    with verb("gta-standin", f"{scheme}://127.0.0.1:0", recording) as (port, process):
        url = f"{scheme}://127.0.0.1:{port}"
        with GtavBridge(url, fps=20, timeout_s=30.0, **OWN_SIZE) as bridge:
            frames = bridge.frames()
            before = next(frames)
            process.kill()
            process.wait()
            with verb("gta-standin", url, recording):
                gap = next(frame for frame in frames if frame.dropped_before)
    assert number_of(gap) < 40  # of the new game, which begins anew
    assert gap.frame_id > before.frame_id + 1
    assert bridge.counts["reconnects"] == 1


def test_without_reconnecting_a_lost_connection_is_an_error(recording):
    with (
        game("deepgtav+tcp", recording, "--quirk", "disconnect") as url,
        GtavBridge(url, fps=20, reconnect_s=0.0, **OWN_SIZE) as bridge,
        pytest.raises(ConnectError, match="connect again"),
    ):
        take(bridge, 50)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_silent_game_is_a_timeout_of_one_sentence(scheme, recording):
    with (
        game(scheme, recording, "--quirk", "silent") as url,
        GtavBridge(url, fps=20, timeout_s=0.6, **OWN_SIZE) as bridge,
        pytest.raises(FrameTimeout, match=r"within 0\.6 s, got nothing: see that the game"),
    ):
        next(bridge.frames())


def test_nobody_there_is_reported_at_once():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(ConnectError, match=f"expected a game at deepgtav\\+tcp://127.0.0.1:{port}"):
        GtavBridge(f"deepgtav+tcp://127.0.0.1:{port}")


def test_closing_ends_a_reader_that_waits():
    with scripted(lambda door, received: None) as (url, _):
        bridge = GtavBridge(url, timeout_s=600.0)  # longer than a test may take
        threading.Timer(0.3, bridge.close).start()
        assert list(bridge.frames()) == []
