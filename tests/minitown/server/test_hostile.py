"""One client's wild values, claims and silence: the server lives, within its stated limits."""

import asyncio
import os
import socket
import struct
from contextlib import ExitStack

import msgpack
import pytest

from realmaster_live.bridges.carla.wire.message_scanner import MAX_DEPTH
from realmaster_live.bridges.carla.wire.rpc import Decoder, Request, encode_request, pack
from realmaster_live.errors import WireFormatError
from realmaster_live.minitown.server import cameras, connections, streams
from realmaster_live.minitown.server.connections import ConnectionLimit
from realmaster_live.minitown.server.streams import Message, StreamHub

pytestmark = pytest.mark.carla

PLACE = [[0.0, 0.0, 2.0], [0.0, 0.0, 0.0]]
WILD = (1e300, -1e300, 3e38, float("inf"), float("nan"), 10**18)


@pytest.fixture(scope="module")
def town(running):
    with running("--seed", "7", "--no-raster", "--vehicles", "3", "--walkers", "3") as server:
        yield server


class Caller:
    """One connection that makes calls."""

    def __init__(self, server, offset=0):
        self.sock = socket.create_connection((server.host, server.port + offset), timeout=60.0)
        self.unpacker = msgpack.Unpacker(raw=False, strict_map_key=False)

    def __call__(self, name, *args):
        """Return the result of a call; the refusal's text where it is refused."""
        self.sock.sendall(encode_request(Request(1, name, False, list(args))))
        while True:
            data = self.sock.recv(1 << 20)
            assert data, f"{name}{args}: the connection was closed"
            self.unpacker.feed(data)
            for _, _, error, result in self.unpacker:
                assert error is None, error
                first = result[0]
                if first[0] in (0, True) and first[0] is not False and len(first) > 1:
                    return first[1][0] if first[0] is True or first[0] == 0 else first[1]
                return first[1] if len(first) > 1 else None

    def spawn(self, type_id, place=PLACE, parent=0, **attributes):
        values = [[name, 3, str(value)] for name, value in attributes.items()]
        description = [0, type_id, values]
        if parent:
            return self("spawn_actor_with_parent", description, place, parent, 0, "")
        return self("spawn_actor", description, place)

    def tick(self):
        before = self("tick_cue")
        assert isinstance(before, int), before
        return before


@pytest.fixture
def call(town):
    caller = Caller(town)
    settings = caller("get_episode_settings")
    caller("set_episode_settings", [True, *settings[1:]])
    made = []
    spawn = caller.spawn

    def tracked(*args, **kwargs):
        actor = spawn(*args, **kwargs)
        if isinstance(actor, list):
            made.append(actor[0])
        return actor

    caller.spawn = tracked
    yield caller
    for actor in made:
        caller("destroy_actor", actor)
    caller("set_episode_settings", settings)
    caller.sock.close()


def listen(town, token):
    """Subscribe to a stream by its 24 bytes."""
    stream, port = struct.unpack_from("<IH", token)
    sock = socket.create_connection((town.host, port), timeout=60.0)
    sock.sendall(struct.pack("<I", stream))
    return sock


@pytest.mark.parametrize("value", WILD, ids=str)
def test_values_out_of_range_are_refused_where_they_enter(call, town, value):
    car = call.spawn("vehicle.tesla.model3", [[0.0, 0.0, 30.0], [0.0, 0.0, 0.0]])[0]
    walker = call.spawn("walker.pedestrian.0001", [[3.0, 3.0, 60.0], [0.0, 0.0, 0.0]])[0]
    spectator = call("get_spectator")[0]
    light = next(
        actor[0]
        for actor in call("get_actors_by_id", list(range(1, 60)))
        if actor[2][1] == "traffic.traffic_light"
    )
    far = [[value, 0.0, 0.0], [0.0, 0.0, 0.0]]
    weather = call("get_weather_parameters")
    for name, *args in (
        ("set_actor_transform", spectator, far),
        ("set_actor_transform", car, [[0.0, 0.0, 0.0], [0.0, value, 0.0]]),
        ("set_actor_location", car, [0.0, value, 0.0]),
        ("set_actor_target_velocity", car, [value, 0.0, 0.0]),
        ("set_actor_target_angular_velocity", car, [value, 0.0, 0.0]),
        ("enable_actor_constant_velocity", car, [value, 0.0, 0.0]),
        ("add_actor_impulse", car, [value, 0.0, 0.0]),
        ("add_actor_force", car, [value, 0.0, 0.0]),
        ("apply_control_to_vehicle", car, [value, 0.0, 0.0, False, False, False, 0]),
        ("apply_control_to_walker", walker, [[1.0, 0.0, 0.0], value, False]),
        ("set_traffic_light_green_time", light, value),
        ("set_weather_parameters", [value] * len(weather)),
        ("set_replayer_time_factor", value),
        ("apply_physics_control", car, [value] * 17),
    ):
        assert "expected" in call(name, *args), name
        call.tick()
    assert "expected" in call.spawn("sensor.other.imu", far)
    for sensor in ("sensor.other.imu", "sensor.other.gnss", "sensor.camera.rgb"):
        assert "expected" in call.spawn(sensor, sensor_tick=value)
    assert "expected" in call.spawn("sensor.camera.rgb", image_size_x=value)
    assert call.tick() < call.tick()


def test_the_largest_values_keep_every_sensor_and_the_log_going(call, town, tmp_path):
    call("start_recorder", str(tmp_path / "wild.log"), True)
    car = call.spawn("vehicle.tesla.model3", [[0.0, 0.0, 30.0], [0.0, 0.0, 0.0]])[0]
    sensors = [call.spawn(kind, parent=car) for kind in ("sensor.other.imu", "sensor.other.gnss")]
    sockets = [listen(town, call("get_sensor_token", s[5][0])[0]) for s in sensors]
    for sign in (1.0, -1.0):
        call("set_actor_transform", car, [[sign * 1e6] * 3, [sign * 1e6] * 3])
        call("set_actor_target_velocity", car, [sign * 1e3] * 3)
        call("add_actor_impulse", car, [sign * 1e9] * 3)
        call("enable_actor_constant_velocity", car, [sign * 1e3] * 3)
        for _ in range(3):
            call.tick()
    for sock in sockets:
        assert sock.recv(4)
        sock.close()
    call("stop_recorder")
    assert "Frames: 6" in call("show_recorder_file_info", str(tmp_path / "wild.log"), False)


def test_a_recorder_writes_only_to_regular_files_and_short_attributes(call, tmp_path):
    os.mkfifo(tmp_path / "pipe.log")
    assert "regular file" in call("start_recorder", str(tmp_path / "pipe.log"), False)
    assert "not found" in call("show_recorder_file_info", str(tmp_path / "pipe.log"), False)
    assert "logs" in call("start_recorder", "../../escape.log", False)
    assert "expected" in call.spawn("vehicle.tesla.model3", role_name="x" * 70_000)
    call.tick()


def test_pictures_cameras_and_chains_of_parents_are_limited(call):
    huge = call.spawn("sensor.camera.rgb", image_size_x=8192, image_size_y=8192)
    assert str(cameras.MAX_PIXELS) in huge
    wide = {"image_size_x": 4096, "image_size_y": 4096}
    for _ in range(2):
        assert isinstance(call.spawn("sensor.camera.rgb", **wide), list)
    assert str(cameras.MAX_TOTAL_PIXELS) in call.spawn("sensor.camera.rgb", **wide)
    parent = call.spawn("sensor.other.imu")[0]
    made = parent
    while isinstance(made, int):
        deepest = made
        answer = call.spawn("sensor.other.imu", parent=made)
        made = answer[0] if isinstance(answer, list) else answer
    assert "mounted" in made and deepest > parent
    assert call("destroy_actor", parent) is True


def test_a_batch_and_a_list_of_ids_have_limits(call):
    assert "at most" in call("get_actors_by_id", list(range(5000)))
    many = [[[1, [1]]]] * 9000
    assert "at most" in call("apply_batch", many, False)


def test_idle_connections_make_room_for_new_ones(town):
    with ExitStack() as stack:

        def dial(port: int) -> None:
            stack.enter_context(socket.create_connection((town.host, port), timeout=60.0))

        first = Caller(town)
        stack.enter_context(first.sock)
        _, stream_port = struct.unpack_from("<IH", first("get_episode_info")[1][0])
        for _ in range(connections.MOST_CALLERS + 40):
            dial(town.port)
        for _ in range(connections.MOST_SUBSCRIBERS + 40):
            dial(stream_port)
        caller = Caller(town)
        stack.enter_context(caller.sock)
        assert caller("version") == "0.9.16"
        token = caller("get_episode_info")[1][0]
        stream = stack.enter_context(listen(town, token))
        assert stream.recv(4)


def test_the_longest_idle_connection_goes_first_and_busy_ones_stay():
    limit, gone = ConnectionLimit(3), []
    for number in (1, 2, 3):
        assert limit.admit(number, lambda number=number: gone.append(number))
    limit.keep(1)
    assert limit.admit(4, lambda: gone.append(4)) and gone == [2]
    limit.keep(3)
    limit.keep(4)
    assert not limit.admit(5, lambda: gone.append(5)) and gone == [2]
    limit.leave(1)
    assert limit.admit(6, lambda: None)


def test_a_subscriber_that_stops_reading_is_waited_for_once_and_then_loses_messages(monkeypatch):
    monkeypatch.setattr(streams, "PATIENCE_S", 0.01)

    async def scene():
        hub, (reader, writer) = StreamHub(), socket.socketpair()
        writer.setblocking(False)
        writer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        hub.open(5)
        feed = asyncio.create_task(hub._feed(writer, 5, hub._streams[5]))
        await asyncio.sleep(0)
        large = bytes(1 << 20)
        for _ in range(4):
            hub.publish(5, Message(large), drop_if_busy=False)
        await asyncio.sleep(0)
        assert hub.dropped == 0
        await hub.drained()

        async def no_more(timeout_s):
            raise AssertionError("a tick waits for a late subscriber again")

        with monkeypatch.context() as patch:
            patch.setattr(hub, "_wait", no_more)
            for number in (1, 2, 3):
                await hub.drained()
                hub.publish(5, Message(large), drop_if_busy=False)
                assert hub.dropped == number
        reader.setblocking(False)
        loop, received = asyncio.get_running_loop(), 0
        while received < 4 * len(large):
            received += len(await loop.sock_recv(reader, 1 << 20))
        await asyncio.sleep(0.01)
        hub.publish(5, Message(b"again"), drop_if_busy=False)
        assert await loop.sock_recv(reader, 64) == b"again"
        reader.close()
        await feed
        writer.close()

    asyncio.run(scene())


def test_a_tick_between_a_clients_question_and_its_subscription_reaches_it():
    async def scene():
        hub, (reader, writer) = StreamHub(), socket.socketpair()
        reader.setblocking(False)
        writer.setblocking(False)
        hub.open(1)
        hub.publish(1, Message(b"before"), drop_if_busy=False)
        hub.keep(1)
        for state in (b"older", b"newest"):
            hub.publish(1, Message(state), drop_if_busy=False)
        feed = asyncio.create_task(hub._feed(writer, 1, hub._streams[1]))
        loop = asyncio.get_running_loop()
        assert await asyncio.wait_for(loop.sock_recv(reader, 64), 30.0) == b"newest"
        hub.publish(1, Message(b"later"), drop_if_busy=False)
        assert await asyncio.wait_for(loop.sock_recv(reader, 64), 30.0) == b"later"
        reader.close()
        await feed
        writer.close()

    asyncio.run(scene())


def test_a_tick_waits_for_every_subscriber_on_its_way_to_a_stream_that_has_one(monkeypatch):
    monkeypatch.setattr("realmaster_live.minitown.server.streams.ARRIVAL_S", 30.0)

    async def scene():
        hub = StreamHub()
        hub.open(1)
        ends = [socket.socketpair() for _ in range(3)]
        for end in ends:
            for side in end:
                side.setblocking(False)
        feeds = [asyncio.create_task(hub._feed(ends[0][1], 1, hub._streams[1]))]
        await asyncio.sleep(0)
        hub.expect(1)
        hub.expect(1)
        tick = asyncio.create_task(hub.arrivals())
        for _, writer in ends[1:]:
            await asyncio.sleep(0.01)
            assert not tick.done()
            feeds.append(asyncio.create_task(hub._feed(writer, 1, hub._streams[1])))
        await asyncio.wait_for(tick, 30.0)
        for reader, _ in ends:
            reader.close()
        await asyncio.gather(*feeds)
        for _, writer in ends:
            writer.close()

    asyncio.run(scene())


def test_nested_arrays_cost_what_was_sent_not_what_they_claim():
    claims = b"\xdc\x3f\x00" * MAX_DEPTH
    decoder = Decoder()
    assert list(decoder.feed(claims)) == []
    assert decoder.pending == len(claims)
    with pytest.raises(WireFormatError, match="inside each other"):
        list(decoder.feed(b"\x91"))


@pytest.mark.parametrize(
    "data",
    [
        b"\xdd\x7f\xff\xff\xff",
        b"\xdb\x7f\xff\xff\xff",
        b"\xdf\x00\x10\x00\x00",
        b"\xdc\xff\xff" * 17,
        b"\xc7\x05\x01hello",
        b"\xc1",
    ],
    ids=["array", "text", "map", "items", "extension", "reserved"],
)
def test_messages_beyond_the_limits_are_refused(data):
    with pytest.raises(WireFormatError):
        list(Decoder().feed(data))


def test_every_type_of_msgpack_is_measured_as_it_is_decoded():
    items = [
        None, True, 0, -1, 127, -32, 128, 2**16, 2**32, 2**64 - 1, -129, -(2**31), -(2**63), 0.5,
        "", "a" * 31, "a" * 32, "a" * 256, "a" * 70_000, b"", b"x" * 255, b"x" * 70_000,
        [], list(range(15)), list(range(16)), list(range(70_000)), {}, {1: 2}, {"a": [1, {}]},
        {n: n for n in range(20)}, msgpack.Timestamp,
    ][:-1]  # fmt: skip
    for item in items:
        data = pack([0, 1, "f", [[False], item]])
        (request,) = Decoder().feed(data)
        assert request.args == [item]
        decoder = Decoder()
        found = [r for octet in data[:300] for r in decoder.feed(bytes([octet]))]
        found += decoder.feed(data[300:])
        assert found == [request]
