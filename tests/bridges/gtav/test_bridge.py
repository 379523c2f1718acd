"""The bridge against a stand-in for the game that is a process of its own and misbehaves."""

import itertools
import logging
import threading
import time

import numpy as np
import pytest
from game_server import (
    DEPTH,
    HEIGHT,
    OWN_SIZE,
    SCHEMES,
    SEMANTIC,
    WIDTH,
    game,
    number_of,
    picture,
    pose,
    scripted,
    still,
    take,
)
from waiting import until

from realmaster_live.bridges.gtav.bridge import GtavBridge
from realmaster_live.bridges.gtav.camera import SKY_M
from realmaster_live.bridges.gtav.protocol.message_codec import decode_message
from realmaster_live.bridges.gtav.protocol.messages import (
    Commands,
    Config,
    SetClockTime,
    SetWeather,
    Start,
    StartRecording,
    Stop,
    StopRecording,
    TeleportToLocation,
)
from realmaster_live.bridges.gtav.weather import game_weather, weather_in_words
from realmaster_live.errors import ConfigError, ConnectError, WireFormatError
from realmaster_live.prompts import PRESETS
from realmaster_live.protocols import Bridge


@pytest.mark.parametrize(
    ("scheme", "quirk"),
    [*itertools.product(SCHEMES, [None, "duplicate-keys"]), ("deepgtav+tcp", "split")],
)
def test_frames_carry_what_the_game_sent(scheme, quirk, recording):
    quirks = () if quirk is None else ("--quirk", quirk)
    with game(scheme, recording, *quirks) as url, GtavBridge(url, fps=10, **OWN_SIZE) as bridge:
        frames = take(bridge, 8)
    assert isinstance(bridge, Bridge)
    with pytest.raises(ConnectError, match=r"expected an open bridge, got .*closed"):
        take(bridge, 1)
    for frame in frames:
        number = number_of(frame)
        np.testing.assert_array_equal(frame.image, picture(number))
        np.testing.assert_allclose(frame.cam_to_world, pose(number), atol=1e-9)
        far = DEPTH >= 100  # the stencil says sky
        np.testing.assert_allclose(frame.labels["depth"][~far], DEPTH[~far], rtol=1e-4)
        assert (frame.labels["depth"][far] == SKY_M).all()
        np.testing.assert_array_equal(frame.labels["semantic"], SEMANTIC)
        assert frame.intrinsics[1, 1] == pytest.approx(HEIGHT / 2 / np.tan(np.radians(29.5)))
        assert (frame.camera, frame.intrinsics[0, 2]) == ("front", WIDTH / 2)
        assert 0 <= time.monotonic() - frame.captured_at < 60
    numbers = [number_of(frame) for frame in frames]
    assert numbers == sorted(numbers)


def test_numbers_and_times_are_those_of_the_constant_rate(recording):
    with (
        game("deepgtav+tcp", recording, "--quirk", "jitter") as url,
        GtavBridge(url, fps=16, hold_s=5.0, **OWN_SIZE) as bridge,
    ):
        frames = take(bridge, 24)
    assert [frame.frame_id for frame in frames] == list(range(24))
    np.testing.assert_allclose([frame.timestamp for frame in frames], np.arange(24) / 16)
    assert [frame.dropped_before for frame in frames] == [0] * 24
    counts = bridge.counts
    fresh = counts["received"] - counts["stale"]
    assert fresh - counts["left_out"] + counts["repeated"] >= 24


def test_pictures_and_labels_come_in_the_size_that_was_asked_for(recording):
    with (
        game("deepgtav+tcp", recording, "--frame", "65x36") as url,
        GtavBridge(url, fps=10, width=32, height=24, game_size=(WIDTH, HEIGHT)) as bridge,
    ):
        (frame,) = take(bridge, 1)
    assert frame.image.shape == (24, 32, 3)
    assert {name: label.shape for name, label in frame.labels.items()} == {
        "depth": (24, 32),
        "semantic": (24, 32),
    }
    focal = HEIGHT / 2 / np.tan(np.radians(29.5))
    np.testing.assert_allclose(
        frame.intrinsics, [[focal * 32 / 65, 0, 16], [0, focal * 24 / 36, 12], [0, 0, 1]]
    )


def test_repeated_pictures_are_stale(recording):
    with (
        game("deepgtav+tcp", recording, "--quirk", "stale") as url,
        GtavBridge(url, fps=10, **OWN_SIZE) as bridge,
    ):
        take(bridge, 10)
        counts = bridge.counts
    assert counts["stale"] >= counts["received"] // 4 > 0


def test_a_picture_of_another_size_says_so(recording):
    with (
        game("deepgtav+tcp", recording, "--quirk", "other-size") as url,
        GtavBridge(url, fps=20, width=60, height=34, near_m=0.15) as bridge,
        pytest.raises(WireFormatError, match="expected a picture of 60x34"),
    ):
        take(bridge, 1)


def test_depth_without_a_near_clip_names_the_default_once(recording, caplog):
    with (
        game("deepgtav+tcp", recording) as url,
        GtavBridge(url, fps=20, width=WIDTH, height=HEIGHT) as bridge,
    ):
        take(bridge, 3)
        info = bridge.info
    assert caplog.text.count("default of 0.15 m") == 1
    assert (info.near_m, info.near_is_default) == (0.15, True)
    assert info.cameras["front"].fov_axis == "vertical"


def test_a_near_clip_that_is_given_is_used(recording, caplog):
    with game("deepgtav+tcp", recording) as url, caplog.at_level(logging.WARNING):
        size = OWN_SIZE | {"near_m": 0.3}
        with GtavBridge(url, fps=20, **size) as bridge:
            (frame,) = take(bridge, 1)
            info = bridge.info
    # the game's buffer is about n / z: twice the near clip is twice the depth
    np.testing.assert_allclose(frame.labels["depth"][0, :9], 2 * DEPTH[0, :9], rtol=2e-3)
    assert (info.near_m, info.near_is_default) == (0.3, False)
    assert "default" not in caplog.text


def test_every_frame_says_what_the_game_was_when_it_came(recording):
    with game("deepgtav+tcp", recording) as url, GtavBridge(url, fps=20, **OWN_SIZE) as bridge:
        frames = bridge.frames()
        first, second = next(frames), next(frames)
        bridge.set_weather("RAIN")
        later = next(frame for frame in frames if frame.source.weather)
        info = bridge.info
    assert first.source is second.source  # one object as long as nothing changes
    assert (first.source.town, first.source.weather_words) == ("GTA-V", "")
    assert (first.source.near_m, first.source.counts) == (0.15, {})
    assert later.source.weather_words == info.weather_words == "rain"


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ("night rain", "night rain"),
        ("RAIN", "rain"),
        ("ExtraSunny", "sunny"),
        ("XMAS", "xmas"),
        (PRESETS["fog"], "fog"),
    ],
)
def test_a_weather_has_one_name_however_it_was_asked_for(wanted, words):
    assert weather_in_words(wanted) == words


def test_a_slow_reader_loses_the_oldest_and_sees_it(recording):
    with (
        game("deepgtav+tcp", recording) as url,
        GtavBridge(url, fps=40, **OWN_SIZE) as bridge,
    ):
        frames = bridge.frames()
        first = next(frames)
        until(lambda: bridge.counts["overtaken"] > 0)
        second = next(frames)
        assert second.dropped_before == second.frame_id - first.frame_id - 1 > 0


def test_a_camera_that_jumps_is_a_cut():
    jumps, counter = threading.Event(), itertools.count()

    def script(door, received):
        place = [500 if jumps.is_set() else 0, 0, 0]
        facts = {"CameraPosition": place, "CameraAngle": [0, 0, 0]} if received else {}
        still(door, next(counter), facts)
        time.sleep(0.02)

    with (
        scripted(script) as (url, _),
        GtavBridge(url, fps=20, width=12, height=8, timeout_s=30) as bridge,
    ):
        frames = bridge.frames()
        assert next(frames).cam_to_world[0, 3] == 0
        jumps.set()
        frame = next(frame for frame in frames if frame.cam_to_world[0, 3] == 500)
        assert frame.dropped_before >= 1
        assert bridge.counts["cuts"] == 1


@pytest.mark.parametrize("angles", [None, ["a", 0, 0], [0, 0], [0, 0, 1e999], [0, 0, 10**400]])
def test_a_pose_that_is_none_is_refused(angles):
    def script(door, received):
        if received:
            still(door, time.monotonic_ns(), {"CameraPosition": [0, 0, 0], "CameraAngle": angles})
            time.sleep(0.01)

    with (
        scripted(script) as (url, _),
        GtavBridge(url, fps=20, width=12, height=8, timeout_s=30) as bridge,
        pytest.raises(WireFormatError, match="three numbers each for CameraPosition"),
    ):
        take(bridge, 1)


def test_commands_reach_the_game_and_close_says_stop():
    def script(door, received):
        still(door, time.monotonic_ns())
        time.sleep(0.01)

    with scripted(script) as (url, received):
        bridge = GtavBridge(url, fps=20, width=12, height=8)
        bridge.drive(0.5, 0.0, -1.0)
        bridge.set_weather("night rain")
        bridge.teleport(10.0, 20.0)
        until(lambda: len(received) == 4)
        bridge.close()
        bridge.close()
        until(lambda: len(received) == 5)
    start, drive, weather, place, stop = received
    assert isinstance(start, Start) and start.dataset.frame == (12, 8)
    assert drive == Commands(throttle=0.5, brake=0.0, steering=-1.0)
    assert isinstance(weather, Config)
    assert (weather.scenario.weather, weather.scenario.time) == ("RAIN", (23, 0))
    assert isinstance(place, Config) and place.scenario.location == (10.0, 20.0)
    assert stop == Stop()


def test_the_fork_is_told_to_record_and_has_commands_of_its_own():
    import zmq

    with zmq.Context() as context, context.socket(zmq.PAIR) as peer:
        port = peer.bind_to_random_port("tcp://127.0.0.1")
        with GtavBridge(f"deepgtav+zmq://127.0.0.1:{port}", fps=20) as bridge:
            bridge.set_weather("fog")
            bridge.set_weather("night")
            bridge.teleport(1.0, 2.0, 3.0)
        received = [decode_message(peer.recv()) for _ in range(7) if peer.poll(30_000)]
    assert isinstance(received[0], Start) and received[0].dataset.screen_resolution == (1920, 1080)
    assert received[1:] == [
        StartRecording(),
        SetWeather(weather="FOGGY"),
        SetClockTime(hour=23),
        TeleportToLocation(x=1.0, y=2.0, z=3.0),
        StopRecording(),
        Stop(),
    ]


def test_weather_is_a_name_a_prompt_or_the_games_own():
    assert game_weather("Blizzard") == ("BLIZZARD", None)
    assert game_weather("wet overcast") == ("OVERCAST", None)
    assert game_weather("day") == (None, 12)
    assert game_weather(PRESETS["snow"]) == ("SNOW", None)
    for name in PRESETS:
        assert game_weather(name) != (None, None)
    with pytest.raises(ConfigError, match="got 'purple rain'"):
        game_weather("purple rain")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"labels": "depth"}, "a list of labels, got the text 'depth'"),
        ({"labels": ("flow",)}, "out of depth, semantic"),
        ({"fps": 0.0}, "fps and timeout_s above 0"),
        ({"width": 0}, "got 0x288"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_opened(options, message):
    with pytest.raises(ConfigError, match=message):
        GtavBridge("deepgtav+tcp://127.0.0.1:1", **options)


def test_driving_out_of_range_is_refused():
    with (
        scripted(lambda door, received: None) as (url, _),
        GtavBridge(url) as bridge,
        pytest.raises(ConfigError, match="clip them"),
    ):
        bridge.drive(1.5, 0.0, 0.0)
