import json

import pytest
from damage import any_value, as_json, cases, wrong_json
from damage import changed as damaged
from hypothesis import given
from hypothesis import strategies as st

from realmaster_live.bridges.gtav.protocol.message_codec import decode_message, encode_message
from realmaster_live.bridges.gtav.protocol.messages import (
    Commands,
    Config,
    CreatePed,
    CreateVehicle,
    DatasetOptions,
    GoToLocation,
    Scenario,
    SetCameraPositionAndRotation,
    SetClockTime,
    SetWeather,
    Start,
    StartRecording,
    Stop,
    StopRecording,
    TeleportToLocation,
    changed,
)
from realmaster_live.errors import WireFormatError

GOLDEN = {
    b'{"stop": null}': Stop(),
    b'{"commands": {"throttle": 1.0, "brake": 0.0, "steering": -0.5}}': Commands(
        throttle=1.0, brake=0.0, steering=-0.5
    ),
    b'{"StartRecording": null}': StartRecording(),
    b'{"StopRecording": null}': StopRecording(),
    b'{"GoToLocation": {"x": 1.0, "y": 2.0, "z": 3.0, "speed": 20.0}}': GoToLocation(
        x=1.0, y=2.0, z=3.0
    ),
    b'{"TeleportToLocation": {"x": 1.0, "y": 2.0, "z": 3.0}}': TeleportToLocation(
        x=1.0, y=2.0, z=3.0
    ),
    b'{"SetCameraPositionAndRotation": {"x": 0.0, "y": 0.5, "z": 0.8, "rot_x": -10.0, '
    b'"rot_y": 0.0, "rot_z": 0.0}}': SetCameraPositionAndRotation(y=0.5, z=0.8, rot_x=-10.0),
    b'{"CreatePed": {"model": 5.0, "relativeForward": 4.0, "relativeRight": 1.0, '
    b'"heading": 90.0, "task": 2}}': CreatePed(
        model=5.0, relative_forward=4.0, relative_right=1.0, heading=90.0, task=2
    ),
    b'{"CreateVehicle": {"model": "blista", "relativeForward": 8.0, "relativeRight": 0.0, '
    b'"heading": 0.0, "color": -1, "color2": -1}}': CreateVehicle(
        model="blista", relative_forward=8.0, relative_right=0.0, heading=0.0
    ),
    b'{"SetWeather": {"weather": "RAIN"}}': SetWeather(weather="RAIN"),
    b'{"SetClockTime": {"hour": 17, "minute": 30, "second": 0}}': SetClockTime(hour=17, minute=30),
}
# every key that aitorzip's and PreSIL's servers and the fork with buffers read
DATASET_KEYS = """
rate frame vehicles peds trafficSigns direction reward throttle brake steering speed yawRate
drivingMode location time offscreen showBoxes pointclouds stationaryScene vehiclesToCreate
pedsToCreate startIndex lidarParam collectTracking recordScenario positionScenario
screenResolution exportBBox2D exportBBox2DUnprocessed occlusionImage unusedStencilIPixelmage
segmentationImage instanceSegmentationImage instanceSegmentationImageColor exportLiDAR
exportLiDARRaycast maxLidarDist export2DPointmap exportSome2DPointmapText exportLiDARDepthStats
exportStencliBuffer exportStencilImage exportIndividualStencilImages exportDepthBuffer
"""


@pytest.mark.parametrize(("data", "message"), GOLDEN.items())
def test_golden_messages(data, message):
    assert encode_message(message) == data
    assert decode_message(data) == message


def test_a_start_carries_every_key_that_any_server_reads():
    body = json.loads(encode_message(Start()))["start"]
    assert set(body["scenario"]) == {"location", "time", "weather", "vehicle", "drivingMode"}
    assert set(body["dataset"]) == set(DATASET_KEYS.split())
    assert body["scenario"]["drivingMode"] == -1
    assert body["dataset"]["rate"] is None


def test_a_start_says_what_was_asked_for():
    start = Start(
        scenario=Scenario(
            location=(12.5, -3.0), time=(17, 5), weather="CLEAR", driving_mode=(786603, 15.0)
        ),
        dataset=DatasetOptions(
            rate=20.0, frame=(321, 180), speed=True, reward=(15.0, 0.0), depth_buffer=True,
            screen_resolution=(642, 360),
        ),
    )  # fmt: skip
    body = json.loads(encode_message(start))["start"]
    assert body["scenario"]["location"] == [12.5, -3.0, None, None]  # the forks read four
    assert body["scenario"]["drivingMode"] == [786603, 15.0]
    rate = body["dataset"]["rate"]
    assert rate == 20 and isinstance(rate, int)  # the first server's GetInt takes no double
    assert body["dataset"]["reward"] == [15.0, 0.0]
    assert body["dataset"]["screenResolution"] == [642, 360]
    assert start.dataset.picture_size() == (642, 360)


@given(
    st.builds(
        Start,
        scenario=st.builds(
            Scenario,
            location=st.none() | st.tuples(*[st.floats(-9e3, 9e3)] * 3),
            weather=st.none() | st.text(max_size=20),
            driving_mode=st.none() | st.tuples(st.integers(0, 2**31), st.floats(0, 90)),
        ),
        dataset=st.builds(
            DatasetOptions,
            rate=st.none() | st.floats(0.1, 100),
            frame=st.none() | st.tuples(st.integers(1, 4096), st.integers(1, 2304)),
            speed=st.none() | st.booleans(),
            direction=st.none() | st.tuples(*[st.floats(-9e3, 9e3)] * 3),
            others=st.just({}) | st.just({"exportLiDAR": True, "maxLidarDist": 120}),
        ),
    )
)
def test_a_server_reads_what_a_client_wrote(start):
    assert decode_message(encode_message(start)) == start


def test_a_config_changes_only_what_it_names():
    before = DatasetOptions(rate=10.0, frame=(320, 160), speed=True, others={"exportLiDAR": True})
    config = decode_message(
        b'{"config": {"scenario": null, "dataset": {"rate": 30, "speed": false}}}'
    )
    assert isinstance(config, Config)
    after = changed(before, config.dataset)
    assert (after.rate, after.frame, after.speed) == (30.0, (320, 160), False)
    assert after.others == {"exportLiDAR": True}


def test_a_message_that_the_games_buffer_cannot_hold_is_refused():
    fits = CreateVehicle(model="x" * 3900, relative_forward=1, relative_right=1, heading=0)
    assert 3900 < len(encode_message(fits)) <= 4095
    with pytest.raises(WireFormatError, match="at most 4095 bytes"):
        encode_message(SetWeather(weather="x" * 4096))


@pytest.mark.parametrize("throttle", [float("nan"), float("inf"), b"1"])
def test_what_json_cannot_say_is_refused(throttle):
    with pytest.raises(WireFormatError, match="finite numbers"):
        encode_message(Commands(throttle=throttle, brake=0.0, steering=0.0))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"7",
        b"\xff\xff",
        b"[" * 4000,
        b'{"begin": null}',
        b'{"commands": null}',
        b'{"commands": [1, 2, 3]}',
        b'{"commands": {"throttle": 1, "brake": 0}}',
        b'{"commands": {"throttle": NaN, "brake": 0, "steering": 0}}',
        b'{"commands": {"throttle": 1e999, "brake": 0, "steering": 0}}',
        b'{"commands": {"throttle": true, "brake": 0, "steering": 0}}',
        b'{"SetWeather": {"weather": 3}}',
        b'{"start": 3}',
        b'{"start": {"scenario": 3}}',
        b'{"start": {"dataset": [1]}}',
        b'{"start": {"dataset": {"rate": 0}}}',
        b'{"start": {"dataset": {"rate": "fast"}}}',
        b'{"start": {"dataset": {"frame": [320]}}}',
        b'{"start": {"dataset": {"frame": [320, -1]}}}',
        b'{"start": {"dataset": {"frame": [320.5, 100]}}}',
        b'{"start": {"dataset": {"frame": [1000000, 1000000]}}}',
        b'{"start": {"dataset": {"speed": 1}}}',
        b'{"start": {"scenario": {"location": [1]}}}',
        b'{"start": {"scenario": {"drivingMode": "fast"}}}',
        b'{"start": {"scenario": {"drivingMode": [1]}}}',
        b'{"start": {"scenario": {"time": [25, 0]}}}',
        b'{"start": {"scenario": {"location": [1e300, 0]}}}',
        b'{"start": {"dataset": {"frame": [16384, 16384]}}}',
        b'{"start": {"dataset": {"screenResolution": [16384, 577]}}}',
        b'{"start": {"dataset": {"rate": 1e-300}}}',
        b'{"start": {"dataset": {"rate": ' + b"9" * 400 + b"}}}",
        b'{"start": {"dataset": {"startIndex": ' + b"9" * 400 + b"}}}",
        b'{"commands": {"throttle": 1e300, "brake": 0, "steering": 0}}',
        b'{"SetClockTime": {"hour": ' + b"9" * 400 + b', "minute": 0, "second": 0}}',
        b'{"SetCameraPositionAndRotation": {"x": -1e300}}',
        b'{"CreatePed": {"model": 1, "relativeForward": 1, "relativeRight": 1, "heading": 0}}',
    ],
)
def test_other_messages_are_refused(data):
    with pytest.raises(WireFormatError, match="expected"):
        decode_message(data)


@pytest.mark.parametrize("mode", [-2, -1, 0, 786603])
def test_any_driving_mode_but_a_pair_lets_the_client_drive(mode):
    body = json.dumps({"start": {"scenario": {"drivingMode": mode, "weather": "CLEAR"}}}).encode()
    assert decode_message(body) == Start(scenario=Scenario(weather="CLEAR"))


def test_whole_numbers_may_be_written_with_a_point():
    body = b'{"config": {"scenario": {"time": [7.0, 30.0]}, "dataset": {"frame": [650.0, 418.0]}}}'
    message = decode_message(body)
    assert (message.scenario.time, message.dataset.frame) == ((7, 30), (650, 418))


KEYS = [*DATASET_KEYS.split(), "scenario", "dataset", "drivingMode", "weather", "x", "hour"]
NAMES = [next(iter(json.loads(data))) for data in GOLDEN] + ["start", "config"]
WHOLE = [*GOLDEN, encode_message(Start(dataset=DatasetOptions(frame=(320, 160))))]


def check_a_message(rng):
    kind, whole = rng.randrange(3), rng.choice(WHOLE)
    if kind == 0:
        return check_any_message(damaged(rng, whole, WHOLE))
    if kind == 1:
        return check_any_message(wrong_json(rng, whole))
    return check_any_message(as_json({rng.choice(NAMES): any_value(rng, KEYS) for _ in range(2)}))


def check_any_message(data):
    try:
        message = decode_message(data)
    except WireFormatError as error:
        assert str(error).startswith("expected ") and len(str(error)) < 1000
        return True
    try:
        again = encode_message(message)
    except WireFormatError as error:
        assert "4095 bytes" in str(error)
        return False
    assert type(decode_message(again)) is type(message)
    return False


@cases(few=300, many=30_000)
def test_any_bytes_are_a_message_or_an_error(fuzz):
    fuzz("GTA-V messages", check_a_message)
