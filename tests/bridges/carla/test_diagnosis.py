"""Where no frame comes, one sentence names the cause; where an ego comes back, frames go on."""

import itertools
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager

import numpy as np
import pytest

from realmaster_live.bridges.carla.bridge import CarlaBridge
from realmaster_live.bridges.carla.connection import Lifeline
from realmaster_live.bridges.carla.session import CarlaSession
from realmaster_live.errors import ConfigError, ConnectError, FrameTimeout, SensorMismatch

pytestmark = pytest.mark.carla


def attach(owner, **options) -> CarlaBridge:
    options = {"timeout_s": 30.0, "width": 64, "height": 48, "labels": (), **options}
    return CarlaBridge(owner.host, owner.port, **options)


def until_it_ends(frames) -> None:
    for _ in frames:
        pass


@pytest.mark.parametrize("synchronous", [True, False])
def test_no_rendering_mode_is_named(owner, synchronous):
    settings = owner.world.get_settings()
    settings.no_rendering_mode = True
    with attach(owner, synchronous=synchronous, timeout_s=2.0) as bridge:
        frames = bridge.frames()
        next(frames)
        changed = owner.world.get_settings()
        changed.no_rendering_mode = True
        owner.world.apply_settings(changed)
        with pytest.raises(SensorMismatch, match=r"no-rendering mode.*no_rendering_mode=False"):
            until_it_ends(frames)
    owner.world.apply_settings(settings)
    with pytest.raises(SensorMismatch, match="no-rendering mode"):
        attach(owner, synchronous=synchronous)


@pytest.mark.parametrize("fixed_delta_s", [10000.0, 1.5, 0.0, -0.05, float("nan"), 1e-9])
def test_a_step_that_no_server_takes_is_refused_before_it_is_asked_for(fixed_delta_s):
    with pytest.raises(ConfigError, match=r"from 1 to 1000 frames a second \(--fps; fixed_delta"):
        CarlaBridge("127.0.0.1", 21499, fixed_delta_s=fixed_delta_s)


@pytest.mark.parametrize("labels", ["depth", "depth,semantic", ["normals"], [3]])
def test_labels_are_a_list_of_names(labels):
    with pytest.raises(ConfigError, match=r"expected (a list of )?labels"):
        CarlaBridge("127.0.0.1", 21499, labels=labels)


@pytest.mark.parametrize(
    ("options", "flag"), [({"ego": "nobody"}, r"\(--ego\)"), ({"adopt": 10**6}, r"\(--camera\)")]
)
def test_what_is_not_there_names_the_flag_as_well(owner, options, flag):
    with pytest.raises(SensorMismatch, match=flag):
        attach(owner, timeout_s=1.0, **options)


@pytest.mark.parametrize("synchronous", [True, False])
def test_a_destroyed_ego_is_named(owner, synchronous):
    with attach(owner, synchronous=synchronous, timeout_s=2.0) as bridge:
        frames = bridge.frames()
        next(frames)
        owner.respawn("traffic")  # must not take its place
        owner.hero.destroy()
        with pytest.raises(SensorMismatch, match=rf"vehicle {owner.hero.id} .*'hero'.*destroyed"):
            until_it_ends(frames)


@pytest.mark.parametrize("again", [True, False])
def test_an_ego_destroyed_while_its_images_are_drawn_is_noticed(drawn_owner, again):
    role = f"star-{again}"
    star = drawn_owner.spawn_vehicle(role)
    size = {"width": 640, "height": 480}  # drawn in far more time than a destruction takes
    with attach(drawn_owner, timeout_s=5.0, labels=("depth",), ego=role, **size) as bridge:
        frames = bridge.frames()
        next(frames)
        tick = bridge._reader.tick

        def tick_and_destroy() -> int:
            bridge._reader.tick = tick
            tick_id = tick()
            star.destroy()
            return tick_id

        bridge._reader.tick = tick_and_destroy
        if not again:
            with pytest.raises(SensorMismatch, match=rf"vehicle {star.id} .*'{role}'.*destroyed"):
                until_it_ends(frames)
            return
        second = drawn_owner.respawn(role)
        later = next(frame for frame in frames if bridge.ego.id != star.id)
        assert later.dropped_before > 0 and bridge.ego.id == second.id
        second.destroy()


@pytest.mark.parametrize("again", [True, False])
@pytest.mark.parametrize("synchronous", [True, False])
@pytest.mark.parametrize("step", ["spawn", "listen"])
def test_an_ego_destroyed_while_we_attach_is_named_or_followed(
    owner, step, synchronous, again, monkeypatch
):
    star = owner.spawn_vehicle("star")
    whole = getattr(CarlaSession, step)
    second = []

    def destroy_first(session, *arguments):
        monkeypatch.setattr(CarlaSession, step, whole)
        star.destroy()
        if again:
            second.append(owner.respawn("star"))
        return whole(session, *arguments)

    monkeypatch.setattr(CarlaSession, step, destroy_first)
    options = {"ego": "star", "synchronous": synchronous, "timeout_s": 5.0}
    if not again:
        with pytest.raises(SensorMismatch, match=rf"vehicle {star.id} .*'star'.*destroyed"):
            attach(owner, **options).close()
        return
    with attach(owner, **options) as bridge:
        assert bridge.ego.id == second[0].id
        assert next(bridge.frames()).image.any()
    second[0].destroy()


def test_an_ego_by_id_has_no_successor(owner):
    with attach(owner, ego=owner.hero.id) as bridge:
        frames = bridge.frames()
        next(frames)
        owner.hero.destroy()
        owner.respawn("hero")
        with pytest.raises(SensorMismatch, match="destroyed by another client"):
            until_it_ends(frames)


@pytest.mark.parametrize("synchronous", [True, False])
@pytest.mark.parametrize("ego", [None, "hero"])
def test_frames_continue_with_a_respawned_ego(owner, synchronous, ego):
    before = owner.state()
    with attach(owner, synchronous=synchronous, ego=ego) as bridge:
        frames = bridge.frames()
        next(frames)
        old = bridge.ego.id
        owner.hero.destroy()
        hero = owner.respawn("hero")
        later = next(frame for frame in frames if bridge.ego.id != old)
        assert later.dropped_before > 0
        assert bridge.ego.id == hero.id
        owner.wait_until(lambda: owner.world.get_snapshot().find(hero.id) is not None)
        at = owner.world.get_snapshot().find(hero.id).get_transform().location
        place = next(itertools.islice(frames, 5, None)).ego_to_world[:2, 3]
        np.testing.assert_allclose(place, (at.x, -at.y), atol=0.5)
    after = owner.state()
    assert after[:2] == before[:2] and len(after[2]) == len(before[2])


@pytest.mark.parametrize("synchronous", [True, False])
def test_frames_continue_where_somebody_destroys_our_cameras(owner, synchronous):
    before = owner.state()
    with attach(owner, synchronous=synchronous, labels=("depth",)) as bridge:
        frames = bridge.frames()
        next(frames)
        old = bridge.cameras["front"].picture.id
        owner.wait_until(lambda: old in {sensor.id for sensor in owner.sensors()})
        owner.world.get_actors().find(old).destroy()
        later = next(frame for frame in frames if bridge.cameras["front"].picture.id != old)
        assert later.dropped_before > 0 and bridge.ego.id == owner.hero.id
    assert owner.state() == before


def test_a_destroyed_adopted_camera_is_named(owner):
    camera = owner.spawn_camera(image_size_x=64, image_size_y=48)
    with attach(owner, adopt=camera.id) as bridge:
        frames = bridge.frames()
        next(frames)
        camera.destroy()
        with pytest.raises(SensorMismatch, match=rf"camera {camera.id} .*destroyed"):
            until_it_ends(frames)


def test_an_ego_that_comes_later_is_waited_for(owner):
    thread = threading.Timer(1.0, lambda: owner.spawn_vehicle("late"))
    thread.start()
    with attach(owner, ego="late") as bridge:
        assert bridge.ego.attributes["role_name"] == "late"
        next(bridge.frames())
    thread.join()


def test_a_walker_may_be_the_ego(owner):
    blueprint = owner.world.get_blueprint_library().filter("walker.pedestrian.*")[0]
    place = owner.hero.get_transform()
    place.location.x += 6.0
    walker = owner.adopt(owner.world.spawn_actor(blueprint, place))
    with attach(owner, ego=walker.id) as bridge:
        frame = next(bridge.frames())
        assert bridge.ego.id == walker.id
        assert np.linalg.norm(frame.ego_to_world[:2, 3] - (place.location.x, -place.location.y)) < 1
        assert walker.id not in {one.object_id for one in frame.objects}


@pytest.mark.parametrize("synchronous", [True, False])
@pytest.mark.parametrize("how", ["load_world", "reload_world"])
def test_a_world_loaded_again_without_a_vehicle_ends_the_frames(owner, synchronous, how):
    with attach(owner, synchronous=synchronous, timeout_s=2.0) as bridge:
        frames = bridge.frames()
        next(frames)
        owner.load_elsewhere(how)
        with pytest.raises(SensorMismatch, match="expected any vehicle, got vehicles: none"):
            until_it_ends(frames)


def test_a_world_that_nobody_ticks_any_more_is_named(owner):
    with owner.synchronous():
        with owner.ticking():
            bridge = attach(owner, synchronous=False, timeout_s=2.0)
            frames = bridge.frames()
            next(frames)
        with bridge, pytest.raises(FrameTimeout, match=r"start the client that ticks it.*--clean"):
            until_it_ends(frames)


def test_a_world_that_another_client_lets_run_freely_is_named(owner):
    with attach(owner, timeout_s=2.0) as bridge:
        frames = bridge.frames()
        next(frames)
        settings = owner.world.get_settings()
        settings.synchronous_mode, settings.fixed_delta_seconds = False, None
        owner.world.apply_settings(settings)
        with pytest.raises(FrameTimeout, match="another client switched to run freely"):
            until_it_ends(frames)


@pytest.mark.parametrize("synchronous", [True, False])
def test_a_stalled_server_is_named(doomed, synchronous):
    with attach(doomed, synchronous=synchronous, timeout_s=2.0) as bridge:
        frames = bridge.frames()
        next(frames)
        os.kill(doomed.town.process.pid, signal.SIGSTOP)
        try:
            with pytest.raises(ConnectError, match="the server stalls"):
                until_it_ends(frames)
        finally:
            os.kill(doomed.town.process.pid, signal.SIGCONT)


@pytest.mark.parametrize("synchronous", [True, False])
def test_a_killed_server_is_noticed_long_before_the_timeout(doomed, synchronous):
    timeout_s = 20.0
    with attach(doomed, synchronous=synchronous, timeout_s=timeout_s) as bridge:
        frames = bridge.frames()
        next(frames)
        doomed.town.process.send_signal(signal.SIGSTOP)  # so that a tick of ours is under way
        threading.Timer(0.5, doomed.town.kill).start()
        began = time.monotonic()
        with pytest.raises(ConnectError, match="start it and attach again"):
            until_it_ends(frames)
        assert time.monotonic() - began < timeout_s - 4.0  # the call itself takes all of it


def test_a_shut_stream_port_is_named(blank_minitown):
    port = blank_minitown.port
    expected = rf"127\.0\.0\.2:{port + 1}, got a shut port.*forward or open"
    with (
        forwarded("127.0.0.2", blank_minitown),  # this address has no stream port
        pytest.raises(ConnectError, match=expected),
    ):
        CarlaBridge("127.0.0.2", port, timeout_s=8.0)


@pytest.mark.parametrize("synchronous", [True, False])
def test_a_stream_port_that_is_shut_while_running_is_named(owner, synchronous):
    before, far = owner.state(), "127.0.0.3"
    with forwarded(far, owner.town):
        with forwarded(far, owner.town, after=1):
            options = {"width": 64, "height": 48, "labels": (), "timeout_s": 8.0}
            bridge = CarlaBridge(far, owner.port, synchronous=synchronous, **options)
            frames = bridge.frames()
            next(frames)
        with bridge, pytest.raises(ConnectError, match=rf"{far}:{owner.port + 1}, got a shut port"):
            until_it_ends(frames)
    assert owner.state() == before


FORWARDER = """
import socket, sys, threading
def pump(source, target):
    while data := source.recv(65536):
        target.sendall(data)
    target.shutdown(socket.SHUT_WR)
listener = socket.create_server((sys.argv[1], int(sys.argv[3])))
print("ready", flush=True)
while True:
    near = listener.accept()[0]
    far = socket.create_connection((sys.argv[2], int(sys.argv[3])))
    for pair in ((near, far), (far, near)):
        threading.Thread(target=pump, args=pair, daemon=True).start()
"""


@contextmanager
def forwarded(address: str, server, after: int = 0):
    """Forward this address to one port of a server's, and to no other, in a process of its own."""
    port = str(server.port + after)
    process = subprocess.Popen(
        [sys.executable, "-c", FORWARDER, address, server.host, port],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert process.stdout.readline() == "ready\n"
        yield
    finally:
        process.kill()
        process.communicate()


def test_a_lifeline_opens_again_where_the_server_hangs_up_on_idle_clients():
    with socket.create_server(("127.0.0.1", 0)) as server:
        lifeline = Lifeline(*server.getsockname())
        server.accept()[0].close()
        deadline = time.monotonic() + 60.0
        assert lifeline.is_up()
        second = server.accept()[0]
        assert lifeline.is_up()
        assert time.monotonic() < deadline
        second.close()
    assert not lifeline.is_up()
    lifeline.close()
    lifeline.close()


@pytest.mark.parametrize(("fixed_delta_s", "sensor_tick_s", "fps"), [
    (0.02, None, 50.0), (0.1, None, 10.0), (0.05, 0.12, 6.667), (None, None, 20.0),
])  # fmt: skip
def test_a_passive_bridge_takes_the_worlds_own_rate(owner, fixed_delta_s, sensor_tick_s, fps):
    options = {}
    if sensor_tick_s:
        camera = owner.spawn_camera(image_size_x=64, image_size_y=48, sensor_tick=sensor_tick_s)
        options["adopt"] = camera.id
    if fixed_delta_s is None:  # measured
        with attach(owner, synchronous=False) as bridge:
            assert bridge.fps == pytest.approx(fps, rel=0.05)
        return
    with (
        owner.synchronous(fixed_delta_s),
        owner.ticking(),
        attach(owner, synchronous=False, **options) as bridge,
    ):
        assert bridge.fps == fps
        frames = list(itertools.islice(bridge.frames(), 6))
    times = np.diff([frame.timestamp for frame in frames])
    steps = np.array([1 + frame.dropped_before for frame in frames[1:]]) / fps
    np.testing.assert_allclose(times, steps, atol=1e-3)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"fixed_delta_s": -1.0}, r"frames a second .*, got -1 s: 20 is usual"),
        ({"fixed_delta_s": 1e4}, r"frames a second .*, got 0\.0001 \(10000 s\)"),
        ({"timeout_s": -1.0}, "expected a timeout_s above 0 .*got -1"),
        ({"rig": "rig.toml"}, r"expected a Rig, got 'rig\.toml': give Rig\.load"),
    ],
)
def test_wrong_arguments_are_refused_before_anything_is_asked(wrong, message):
    with pytest.raises(ConfigError, match=message):
        CarlaBridge("127.0.0.1", 1, **wrong)
