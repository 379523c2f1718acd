"""CarlaBridge against a server that speaks CARLA's protocol, through the real carla client."""

import json
import threading
from itertools import islice

import numpy as np
import pytest

from realmaster_live import SourceInfo
from realmaster_live.bridges.carla import attacher
from realmaster_live.bridges.carla.bridge import CarlaBridge
from realmaster_live.bridges.carla.geometry import cam_to_world
from realmaster_live.errors import (
    BridgeError,
    ConfigError,
    ConnectError,
    FrameTimeout,
    SensorMismatch,
)
from realmaster_live.frames.chunk import LABEL_DTYPES
from realmaster_live.frames.geometry import pinhole
from realmaster_live.frames.rig import Mount
from realmaster_live.protocols import Source

pytestmark = pytest.mark.carla
SMALL = {"width": 160, "height": 96}


def attach(owner, **options) -> CarlaBridge:
    options = {"host": owner.host, "port": owner.port, "timeout_s": 30.0, **SMALL, **options}
    return CarlaBridge(**options)


def take(bridge: CarlaBridge, count: int) -> list:
    return list(islice(bridge.frames(), count))


def test_every_frame_is_the_one_our_tick_made(owner):
    seen = []
    with attach(owner, labels=("depth", "semantic", "instance", "flow")) as bridge:
        assert isinstance(bridge, Source)
        watch = owner.world.on_tick(lambda snapshot: seen.append(snapshot))
        frames = take(bridge, 12)
        owner.wait_until(lambda: seen and seen[-1].frame >= frames[-1].frame_id)
        owner.world.remove_on_tick(watch)
        camera_id = bridge.cameras["front"].picture.id
    by_number = {snapshot.frame: snapshot for snapshot in seen}
    first = frames[0].frame_id
    assert [f.frame_id for f in frames] == list(range(first, first + 12))
    assert all(f.dropped_before == 0 and f.camera == "front" for f in frames)
    assert np.diff([f.captured_at for f in frames]).min() > 0
    for frame in frames[1:]:
        snapshot = by_number[frame.frame_id]
        assert frame.timestamp == pytest.approx(snapshot.timestamp.elapsed_seconds)
        assert snapshot.timestamp.delta_seconds == pytest.approx(0.05)
        pose = cam_to_world(snapshot.find(camera_id).get_transform().get_matrix())
        np.testing.assert_allclose(frame.cam_to_world, pose, atol=1e-3)
        np.testing.assert_array_equal(frame.intrinsics, pinhole(160, 96, 80.0))
        assert frame.image.shape == (96, 160, 3) and frame.image.dtype == np.uint8
        assert frame.labels.keys() == LABEL_DTYPES.keys()
        for name, label in frame.labels.items():
            assert label.shape[:2] == (96, 160) and label.dtype == LABEL_DTYPES[name]


def test_the_mount_is_relative_to_the_vehicle(owner):
    mount = Mount(x=0.4, y=-0.6, z=2.2, yaw_deg=90.0)
    with attach(owner, mount=mount, labels=()) as bridge:
        frame = take(bridge, 1)[0]
        vehicle = owner.world.get_snapshot().find(owner.hero.id).get_transform()
    place = vehicle.transform(owner.carla.Location(0.4, -0.6, 2.2))
    np.testing.assert_allclose(frame.cam_to_world[:3, 3], (place.x, -place.y, place.z), atol=0.02)
    right = vehicle.get_right_vector()
    np.testing.assert_allclose(frame.cam_to_world[:3, 2], (right.x, -right.y, right.z), atol=0.02)


def test_the_world_is_left_as_it_was(owner):
    before = owner.state()
    with attach(owner) as bridge:
        take(bridge, 3)
        assert owner.world.get_settings().synchronous_mode
        owner.wait_until(lambda: len(owner.sensors()) == 4)
    assert owner.state() == before
    bridge.close()


def test_an_exception_in_the_users_code_leaves_the_world_as_it_was(owner):
    before = owner.state()
    with pytest.raises(ZeroDivisionError), attach(owner) as bridge:
        for _ in bridge.frames():
            raise ZeroDivisionError
    assert owner.state() == before


def test_a_setting_that_somebody_else_changed_meanwhile_is_kept(owner):
    with attach(owner, labels=()) as bridge:
        take(bridge, 1)
        settings = owner.world.get_settings()
        settings.max_substeps = 7
        owner.world.apply_settings(settings)
    settings = owner.world.get_settings()
    assert (settings.max_substeps, settings.synchronous_mode) == (7, False)


def test_the_vehicle_is_found_by_role_id_or_default(owner):
    other = owner.spawn_vehicle("scenario")
    for ego, expected in (("scenario", other), (other.id, other), (None, owner.hero)):
        with attach(owner, ego=ego, labels=()) as bridge:
            assert bridge.ego.id == expected.id


@pytest.mark.parametrize(
    "options", [{"ego": "nobody"}, {"ego": 987654}, {"adopt": 987654}, {"adopt": "hero"}]
)
def test_who_is_not_there_is_answered_with_who_is(owner, options):
    if options.get("adopt") == "hero":
        options = {"adopt": owner.hero.id}
    camera = owner.spawn_camera(role_name="front", image_size_x=160, image_size_y=96)
    before = owner.state()
    waited_s = 2.0 if options.get("ego") == "nobody" else 30.0  # only a role may come yet
    with pytest.raises(SensorMismatch) as caught:
        attach(owner, timeout_s=waited_s, **options).close()
    message = str(caught.value)
    assert f"{owner.hero.id} (vehicle." in message and "'hero'" in message
    assert f"{camera.id} (sensor.camera.rgb, 'front')" in message
    assert owner.state() == before


def test_an_unknown_label_is_refused_before_anything_is_touched(owner):
    before = owner.state()
    with pytest.raises(ConfigError, match="out of depth, semantic, instance, flow, got normals"):
        attach(owner, labels=("depth", "normals")).close()
    assert owner.state() == before


def test_passive_changes_nothing_and_counts_what_it_missed(owner):
    before = owner.state()
    with attach(owner, synchronous=False) as bridge:
        frames = bridge.frames()
        got = [next(frames) for _ in range(5)]
        last = got[-1].frame_id  # wait for more ticks than the join holds
        owner.wait_until(lambda: owner.world.get_snapshot().frame > last + 40)
        got += [next(frames) for _ in range(14)]
        settings = owner.world.get_settings()
        assert (settings.synchronous_mode, settings.fixed_delta_seconds) == (False, None)
    numbers = [f.frame_id for f in got]
    steps = np.diff(numbers)
    assert (steps > 0).all()
    assert [f.dropped_before for f in got[1:]] == list(steps - 1)
    assert sum(f.dropped_before for f in got) > 0
    assert owner.state() == before


def test_passive_rides_along_with_the_client_that_ticks(owner, monkeypatch):
    monkeypatch.setattr(attacher, "OTHER_TICKER_S", 30.0)  # ends with its tick, however late
    with owner.synchronous(), owner.ticking():
        with attach(owner, synchronous=False) as bridge:
            numbers = [f.frame_id for f in take(bridge, 8)]
        assert numbers == sorted(set(numbers))
        with pytest.raises(BridgeError, match="another client ticks: use synchronous=False"):
            attach(owner).close()
    assert not owner.world.get_settings().synchronous_mode


def test_passive_says_so_when_nobody_ticks(owner):
    with (
        owner.synchronous(),
        pytest.raises(FrameTimeout, match="start the client that ticks it"),
    ):
        attach(owner, synchronous=False, timeout_s=2.5).close()


def test_owning_the_tick_of_a_synchronous_world_gives_it_back_as_it_was(owner):
    with owner.synchronous(fixed_delta_s=0.1):
        with attach(owner, fixed_delta_s=0.02) as bridge:
            a, b = take(bridge, 2)
            assert b.timestamp - a.timestamp == pytest.approx(0.02)
        settings = owner.world.get_settings()
        assert settings.synchronous_mode and settings.fixed_delta_seconds == 0.1


def test_an_adopted_camera_stays_its_owners(owner):
    got = []
    place = owner.carla.Transform(
        owner.carla.Location(0.3, 0.5, 2.5), owner.carla.Rotation(-12.0, 25.0, 4.0)
    )
    camera = owner.spawn_camera(place, image_size_x=144, image_size_y=80, fov=65)
    camera.listen(lambda image: got.append(image.frame))
    before = owner.state()
    with attach(owner, adopt=camera.id, labels=("depth", "instance")) as bridge:
        frames = take(bridge, 5)
        sensors = bridge.cameras["front"].sensors
        assert sensors.keys() == {"rgb", "depth", "instance"} and sensors["rgb"].id == camera.id
        ids = [sensor.id for sensor in sensors.values()]
        owner.wait_until(lambda: all(map(owner.world.get_snapshot().find, ids)))
        snapshot = owner.world.get_snapshot()
        mine = snapshot.find(camera.id).get_transform().get_matrix()
        for sensor in sensors.values():
            theirs = snapshot.find(sensor.id).get_transform().get_matrix()
            np.testing.assert_allclose(theirs, mine, atol=2e-3)
            assert sensor.parent.id == owner.hero.id
    assert frames[0].image.shape == (80, 144, 3)
    np.testing.assert_allclose(frames[0].intrinsics, pinhole(144, 80, 65.0))
    assert owner.state() == before and camera.is_alive
    count = len(got)
    owner.wait_until(lambda: len(got) > count + 2)
    camera.stop()


def test_labels_follow_an_adopted_camera_that_its_owner_moves(owner):
    camera = owner.spawn_camera(parent=None, image_size_x=160, image_size_y=96)
    with attach(owner, adopt=camera.id, labels=("depth",)) as bridge:
        frames = bridge.frames()
        next(frames)
        owner.put(camera, owner.carla.Transform(owner.carla.Location(5.0, 2.0, 3.0)))
        places = [next(frames).cam_to_world[:3, 3] for _ in range(3)]
    np.testing.assert_allclose(places[-1], (5.0, -2.0, 3.0), atol=1e-3)


def test_a_camera_that_skips_ticks_can_only_be_followed_passively(owner):
    camera = owner.spawn_camera(image_size_x=160, image_size_y=96, sensor_tick=0.12)
    before = owner.state()
    with pytest.raises(SensorMismatch, match=r"sensor_tick=0\.12 .* use synchronous=False"):
        attach(owner, adopt=camera.id)
    assert owner.state() == before


def test_close_from_another_thread_ends_the_frames(owner):
    before = owner.state()
    with attach(owner, labels=()) as bridge:
        threading.Timer(0.3, bridge.close).start()
        for _ in bridge.frames():  # for good, without the other thread
            pass
    assert owner.state() == before


def test_info_goes_through_json_and_says_what_matters(owner):
    with attach(owner, labels=("depth",)) as bridge:
        info = bridge.info
    assert SourceInfo.of(json.loads(json.dumps(info.as_json()))) == info
    assert info.ego.type == owner.hero.type_id and info.ego.role_name == "hero"
    assert info.server_version == info.client_version
    assert info.map == owner.world.get_map().name and info.map.endswith(info.town)
    assert info.weather["sun_altitude_angle"] == pytest.approx(
        owner.world.get_weather().sun_altitude_angle
    )
    assert (info.ticked_by, info.fps) == ("us", pytest.approx(20))
    camera = info.cameras["front"]
    assert (camera.width, camera.height, camera.labels) == (160, 96, ("depth",))
    assert f"{info.server}, {info.town}, closed" in repr(bridge)


def test_a_closed_bridge_has_no_frames_to_begin_with(owner):
    with attach(owner, labels=()) as bridge:
        pass
    with pytest.raises(ConnectError, match=r"expected an open bridge, got .*closed.*make another"):
        next(bridge.frames())
