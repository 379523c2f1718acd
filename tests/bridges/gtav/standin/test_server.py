"""The stand-in for the game as a process of its own, over both transports."""

import json
import socket
import time
from contextlib import closing

import numpy as np
import pytest
from footage import write_film
from game_client import FRAMES, fresh, playing, served, started
from game_server import (
    DEPTH,
    HEIGHT,
    SCHEMES,
    STEP_M,
    WIDTH,
    picture,
    pose,
)

from realmaster_live.bridges.gtav.bridge import GtavBridge
from realmaster_live.bridges.gtav.camera import NEAR_M, cam_to_world, planar_depth_m
from realmaster_live.bridges.gtav.protocol.client import connect
from realmaster_live.bridges.gtav.protocol.framing import depth_ndc, stencil
from realmaster_live.bridges.gtav.protocol.messages import (
    Commands,
    Config,
    DatasetOptions,
    Scenario,
    SetCameraPositionAndRotation,
    SetWeather,
    Start,
    StartRecording,
    StopRecording,
)
from realmaster_live.bridges.gtav.standin.behaviour import QUIRKS as QUIRKS_OF_SERVER
from realmaster_live.bridges.gtav.standin.stage import game_fields
from realmaster_live.bridges.gtav.standin.town import TownStage
from realmaster_live.cli import main
from realmaster_live.errors import FrameTimeout, WireFormatError

FOCAL = HEIGHT / 2 / np.tan(np.radians(59.0 / 2))


EVERY_OPTION = DatasetOptions(
    rate=200.0, frame=(WIDTH, HEIGHT),
    **dict.fromkeys(
        ["vehicles", "peds", "traffic_signs", "throttle", "brake", "steering", "speed", "yaw_rate",
         "driving_mode", "location", "time", "bbox2d", "depth_buffer", "stencil_buffer"], True,
    ),
    direction=(1.0, 2.0, 3.0), reward=(15.0, 0.0), start_index=7,
    others=dict.fromkeys(["exportLiDAR", "segmentationImage", "exportStencilImage"], True),
)  # fmt: skip
EVERY_KEY = {
    "vehicles", "peds", "trafficSigns", "direction", "reward", "throttle", "brake", "steering",
    "speed", "yawRate", "drivingMode", "location", "time", "bbox2d", "DepthBuffer",
    "StencilBuffer", "LiDAR", "segmentationImage", "StencilImage",
}  # fmt: skip


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_recording_comes_out_as_it_went_in(scheme, recording):
    with served(scheme, recording) as (address, process), started(address) as stream:
        seen = []
        for number, (fields, image) in enumerate(fresh(stream, FRAMES, seen)):
            np.testing.assert_array_equal(image, picture(number))
            assert fields["index"] == number
            assert fields["focalLen"] == pytest.approx(FOCAL)
            assert fields["speed"] == pytest.approx(0.0 if number == 0 else 20 * STEP_M)
            place = cam_to_world(fields["CameraPosition"], fields["CameraAngle"])
            np.testing.assert_allclose(place, pose(number), atol=1e-9)
            depth = planar_depth_m(depth_ndc(fields, WIDTH, HEIGHT), NEAR_M)
            np.testing.assert_allclose(depth, DEPTH, rtol=2e-3)
            assert set(np.unique(stencil(fields, WIDTH, HEIGHT))) == {1, 7}
        assert process.wait(60) == 0
        stale = sum("CameraPosition" not in fields for fields in seen)
        assert process.stdout.read() == f"sent {FRAMES + stale} frames\n"


QUIRKS = [[], ["split"], ["coalesced"], ["split", "coalesced"], ["jitter"], ["duplicate-keys"]]


@pytest.mark.parametrize("quirks", QUIRKS, ids="+".join)
def test_harmless_quirks_lose_no_frame(quirks, recording):
    flags = [f"--quirk={name}" for name in quirks]
    with playing("deepgtav+tcp", recording, *flags) as address, started(address) as stream:
        for number, (fields, image) in enumerate(fresh(stream, FRAMES)):
            np.testing.assert_array_equal(image, picture(number))
            assert depth_ndc(fields, WIDTH, HEIGHT) is not None


def test_stale_frames_are_repeated_to_the_byte(recording):
    with (
        playing("deepgtav+tcp", recording, "--quirk=stale") as address,
        started(address) as stream,
    ):
        indices = [fields["index"] for fields, _ in fresh(stream, 9)]
    assert indices == [0, 1, 1, 2, 3, 3, 4, 5, 5]


def test_over_zeromq_json_that_is_cut_short_is_an_error(recording):
    with (
        playing("deepgtav+zmq", recording, "--quirk=disconnect") as address,
        started(address) as stream,
        pytest.raises(WireFormatError, match="JSON object"),
    ):
        fresh(stream, 7)


def test_a_picture_of_another_size_is_an_error(recording):
    for scheme in SCHEMES:
        with (
            playing(scheme, recording, "--quirk=other-size") as address,
            started(address) as stream,
            pytest.raises(WireFormatError, match="picture of 65"),
        ):
            stream.receive(30.0)


def test_a_server_that_says_nothing_is_a_timeout(recording):
    with (
        playing("deepgtav+tcp", recording, "--quirk=silent") as address,
        started(address) as stream,
        pytest.raises(FrameTimeout),
    ):
        stream.receive(0.5)


def test_before_the_recording_frames_are_stale_and_annotations_empty(recording):
    with (
        playing("deepgtav+zmq", recording) as address,
        started(address, recording=False) as stream,
    ):
        for _ in range(3):
            frame = stream.receive(30.0)
            assert not frame.image.any()
            assert frame.fields["DepthBuffer"] == [] == frame.fields["StencilBuffer"]
            assert depth_ndc(frame.fields, WIDTH, HEIGHT) is None
        stream.send(StartRecording())
        fields, image = fresh(stream, 1)[0]
        assert fields["index"] == 0
        np.testing.assert_array_equal(image, picture(0))
        stream.send(StopRecording())
        while stream.receive(30.0).fields["index"]:
            pass


def test_a_config_changes_rate_and_buffers(recording):
    both = DatasetOptions(rate=10.0, frame=(WIDTH, HEIGHT))
    with playing("deepgtav+tcp", recording) as address, started(address, both) as stream:
        before = time.monotonic()
        assert "DepthBuffer" not in fresh(stream, 4)[-1][0]
        assert time.monotonic() - before > 0.25
        stream.send(Config(dataset=DatasetOptions(rate=100.0, depth_buffer=True)))
        assert "DepthBuffer" in fresh(stream, 4)[-1][0]


def test_pictures_and_buffers_may_be_of_two_sizes(recording):
    sizes = DatasetOptions(
        rate=100.0, frame=(32, 18), screen_resolution=(128, 72), depth_buffer=True
    )
    with playing("deepgtav+zmq", recording) as address, started(address, sizes) as stream:
        fields, image = fresh(stream, 1)[0]
        assert image.shape == (72, 128, 3)
        depth = planar_depth_m(depth_ndc(fields, 32, 18), NEAR_M)
        assert depth[0, 0] == pytest.approx(DEPTH[1, 1], rel=2e-3)
        assert fields["focalLen"] == pytest.approx(FOCAL / 2)  # of the buffers


def test_the_town_drives_and_hears():
    dataset = DatasetOptions(
        rate=30.0, frame=(161, 90), speed=True, location=True, time=True, throttle=True,
        steering=True, vehicles=True, peds=True, depth_buffer=True, stencil_buffer=True,
    )  # fmt: skip
    with (
        served("deepgtav+tcp", "--town", 3) as (address, _),
        closing(connect(address, 161, 90)) as stream,
    ):
        stream.send(Start(scenario=Scenario(time=(12, 0), weather="CLEAR"), dataset=dataset))
        stream.send(Commands(throttle=1.0, brake=0.0, steering=0.0))
        seen = fresh(stream, 12)
        stream.send(SetWeather(weather="FOGGY"))
        fog = fresh(stream, 12)[-1]
    last = seen[-1][0]
    assert last["throttle"] == 1.0 and last["speed"] > seen[0][0]["speed"]
    assert last["time"][0] == 12
    moved = np.subtract(last["location"], seen[0][0]["location"])
    assert 0.01 < np.linalg.norm(moved) < 10
    ids = np.unique(stencil(last, 161, 90) & 0x0F)
    assert 7 in ids and len(ids) >= 3  # sky, and things
    depth = depth_ndc(last, 161, 90)
    assert (depth[stencil(last, 161, 90) == 7] == 0).all() and depth.max() < 1
    assert all(thing["classID"] == 0 for thing in last["vehicles"])
    assert seen[-1][1].std() > 20  # a picture of a street
    assert abs(fog[1].mean() - seen[-1][1].mean()) > 2  # in another weather


def test_a_video_is_shown_without_labels(tmp_path):
    film = tmp_path / "drive.mp4"
    write_film(film, frames=8)
    with playing("deepgtav+zmq", film) as address, started(address) as stream:
        for fields, image in fresh(stream, 5):
            assert image.shape == (HEIGHT, WIDTH, 3) and image.any()
            assert depth_ndc(fields, WIDTH, HEIGHT) is None


def test_the_command_line_says_what_is_wrong(capsys, recording):
    assert main(["gta-standin", "deepgtav+tcp://127.0.0.1:0", "--quirk", "polite"]) == 2
    output = capsys.readouterr().err
    assert all(name in output for name in QUIRKS_OF_SERVER)
    assert main(["gta-standin", "http://127.0.0.1"]) == 2
    assert "deepgtav+zmq://" in capsys.readouterr().err
    assert main(["gta-standin", "deepgtav+tcp://127.0.0.1:0", str(recording), "--town", "1"]) == 2
    assert main(["gta-standin", "deepgtav+tcp://127.0.0.1:0", str(recording / "none")]) == 1
    capsys.readouterr()
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        url = f"deepgtav+tcp://127.0.0.1:{taken.getsockname()[1]}"
        assert main(["gta-standin", url, str(recording)]) == 1
    assert "free port" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["gta-standin", "--help"])
    text = capsys.readouterr().out.replace("\n", " ")
    assert all(name.split("-")[0] in text for name in QUIRKS_OF_SERVER)


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_requested_key_is_answered(scheme, tmp_path):
    film = tmp_path / "drive.mp4"
    write_film(film, frames=8)
    with playing(scheme, film) as address, started(address, EVERY_OPTION) as stream:
        seen = []
        fields, _ = fresh(stream, 1, seen)[0]
        assert fields.keys() >= EVERY_KEY
        assert fields["vehicles"] == fields["trafficSigns"] == []
        assert (fields["reward"], fields["DepthBuffer"], fields["LiDAR"]) == (0.0, "", "")
        assert depth_ndc(fields, WIDTH, HEIGHT) is None
        assert fields["index"] == 7
        for stale in seen[:-1]:  # before the recording, over ZeroMQ
            assert stale.keys() >= EVERY_KEY
            assert stale["DepthBuffer"] == stale["LiDAR"] == []


def test_a_video_without_labels_is_no_stale_game(tmp_path):
    film = tmp_path / "drive.mp4"
    write_film(film, frames=30)
    with (
        playing("deepgtav+tcp", film) as address,
        GtavBridge(str(address), width=WIDTH, height=HEIGHT, fps=20) as bridge,
    ):
        assert next(bridge.frames()).labels == {}


@pytest.mark.slow
def test_the_town_survives_whatever_a_message_may_say():
    stage = TownStage(3)
    far = 1e6
    for size, message in (
        (
            (1, 9000),
            Start(scenario=Scenario(location=(far, -far), time=(24, 60), driving_mode=(0, far))),
        ),
        ((9000, 1), Commands(throttle=far, brake=-far, steering=far)),
        (
            (16384, 16),
            SetCameraPositionAndRotation(x=far, y=-far, z=far, rot_x=far, rot_y=-far, rot_z=far),
        ),
    ):
        stage.apply(message)
        scene = stage.step(size, 10.0)
        assert scene.image.shape == (size[1], size[0], 3)
        json.dumps(game_fields(scene, EVERY_OPTION, 0), allow_nan=False)
