"""The drop-in camera, with a small real engine and the real carla client."""

import queue
import threading

import carla
import cv2
import numpy as np
import pytest

import realmaster_live
from realmaster_live.bridges.carla.images import bgra_view, rgb
from realmaster_live.bridges.carla.realized_camera import RealizedCamera, tick_in_lockstep
from realmaster_live.errors import ConfigError, EngineError, FrameTimeout
from realmaster_live.frames.chunk import Chunk, ChunkSpec
from realmaster_live.recording import Recording

pytestmark = pytest.mark.carla
WIDTH, HEIGHT = 96, 64


class Negative:
    """A user's own engine: inverts the picture, and remembers what it was asked."""

    def __init__(self, *, first: int = 2, frames: int = 4, delay_s: float = 0.0) -> None:
        self.spec = ChunkSpec(
            frames=frames, first_frames=first, height=HEIGHT, width=WIDTH, fps=20.0
        )
        self.delay_s = delay_s
        self.chunks: list[Chunk] = []
        self.resets = 0
        self.closed = False
        self.gate = threading.Event()
        self.gate.set()

    def realize(self, chunk: Chunk) -> Chunk:
        self.gate.wait(60)
        self.chunks.append(chunk)
        return chunk.with_frames(255 - chunk.frames)

    def reset(self) -> None:
        self.resets += 1

    def close(self) -> None:
        self.closed = True


class Broken(Negative):
    def realize(self, chunk: Chunk) -> Chunk:
        raise ArithmeticError("the device is on fire")


@pytest.fixture
def camera(owner):
    return owner.spawn_camera(image_size_x=WIDTH, image_size_y=HEIGHT, fov=70, role_name="front")


def facts(image) -> tuple:
    return image.timestamp, image.fov, image.width, image.height, image.transform.get_matrix()


def test_images_are_the_simulators_own_with_other_pixels(owner, camera, tmp_path):
    plain: dict[int, tuple] = {}
    viewer = owner.town.client().get_world().get_actor(camera.id)  # a second program
    realized: list = []
    engine = Negative()
    with owner.synchronous():
        viewer.listen(lambda i: plain.update({i.frame: (facts(i), bgra_view(i).copy())}))
        realmaster = realmaster_live.realize(camera, engine=engine, policy="delay")
        realmaster.listen(realized.append)
        ticks = [owner.world.tick(30.0) for _ in range(10)]  # a loop that never waits for images
        owner.wait_until(lambda: len(realized) == 10 and plain.keys() >= set(ticks))
        realmaster.stop()
        viewer.stop()
    assert [image.frame for image in realized] == ticks
    assert realmaster.dropped == 0 and realmaster.delay_frames == 3
    assert [len(chunk) for chunk in engine.chunks] == [2, 4, 4]
    for image in realized:
        assert isinstance(image, carla.Image)
        known, pixels = plain[image.frame]
        assert facts(image) == known
        np.testing.assert_array_equal(rgb(image), 255 - pixels[..., 2::-1])
    realized[4].save_to_disk(str(tmp_path / "a.png"))
    saved = cv2.imread(str(tmp_path / "a.png"))[..., ::-1]
    np.testing.assert_array_equal(saved, 255 - plain[ticks[4]][1][..., 2::-1])


def test_the_engine_gets_poses_ids_and_optics(owner, camera):
    engine = Negative()
    with owner.synchronous():
        realmaster = RealizedCamera(camera, engine, policy="delay")
        got: list = []
        realmaster.listen(got.append)
        ticks = [owner.world.tick(30.0) for _ in range(6)]
        owner.wait_until(lambda: len(got) == 6)
        realmaster.stop()
    chunk = engine.chunks[1]
    assert chunk.index == 1 and chunk.camera == f"camera-{camera.id}"
    assert chunk.frame_ids.tolist() == ticks[2:6]
    np.testing.assert_allclose(np.diff(chunk.timestamps), 0.05)
    focal = WIDTH / 2 / np.tan(np.radians(35.0))
    np.testing.assert_allclose(chunk.intrinsics[0], (focal, 0.0, WIDTH / 2))
    pose = got[2].transform
    np.testing.assert_allclose(
        chunk.cam_to_world[0, :3, 3], (pose.location.x, -pose.location.y, pose.location.z)
    )


def test_stop_flushes_what_has_arrived_and_reports_no_more(owner, camera):
    engine, got = Negative(first=4, frames=4), []
    with owner.synchronous():
        realmaster = RealizedCamera(camera, engine, policy="delay")
        realmaster.listen(got.append)
        arrived: list = []
        camera_twin = owner.town.client().get_world().get_actor(camera.id)
        camera_twin.listen(arrived.append)
        ticks = [owner.world.tick(30.0) for _ in range(6)]
        owner.wait_until(lambda: len(arrived) == 6 and len(got) == 4)
        owner.wait_until(lambda: realmaster.figures.arrived == 6)
        realmaster.stop()
        assert [image.frame for image in got] == ticks
        assert [len(chunk) for chunk in engine.chunks] == [4, 4]  # filled up, never shorter
        owner.world.tick(30.0)
        owner.wait_until(lambda: len(arrived) == 7)
        assert len(got) == 6
        camera_twin.stop()
    realmaster.stop()


def test_a_loop_that_waits_for_the_image_of_its_tick_never_starves(owner, camera, tmp_path):
    """What CARLA's synchronous examples do, with an engine that answers late or not at all."""
    engine, images = Negative(first=2, frames=2), queue.Queue()
    plain: dict[int, np.ndarray] = {}
    viewer = owner.town.client().get_world().get_actor(camera.id)
    with owner.synchronous():
        viewer.listen(lambda i: plain.update({i.frame: bgra_view(i).copy()}))
        realmaster = realmaster_live.realize(camera, engine=engine)
        realmaster.listen(images.put)
        tick = None
        for number in range(10):
            if number == 4:
                owner.wait_until(lambda last=tick: realmaster.source_frame == last)
                engine.gate.clear()
            tick, source = owner.world.tick(30.0), realmaster.source_frame
            image = images.get(timeout=30)
            assert image.frame == tick and isinstance(image, carla.Image)
            owner.wait_until(lambda tick=tick: tick in plain)
            if number >= 4:
                expected = 255 - plain[source][..., :3]
                np.testing.assert_array_equal(bgra_view(image)[..., :3], expected)
                assert realmaster.figures.age_frames == tick - source
        engine.gate.set()
        realmaster.stop()
        viewer.stop()
    figures = realmaster.figures
    assert figures.arrived == figures.delivered == 10 and figures.oldest_frames >= 6


def test_a_tick_in_lockstep_runs_through_the_chunk(owner, camera):
    engine, got = Negative(first=2, frames=4), []
    with owner.synchronous():
        realmaster = RealizedCamera(camera, engine, policy="lockstep")
        realmaster.listen(got.append)
        before = owner.world.get_snapshot().frame
        frames = [tick_in_lockstep(lambda: owner.world.tick(30.0), [realmaster]) for _ in range(3)]
        assert [image.frame for image in got] == list(range(before + 1, frames[-1] + 1))
        assert np.diff([before, *frames]).tolist() == [2, 4, 4]
        engine.gate.clear()
        with pytest.raises(FrameTimeout, match="the engine is slower than that, or stuck"):
            tick_in_lockstep(lambda: owner.world.tick(30.0), [realmaster], timeout_s=2.0)
        engine.gate.set()
        realmaster.stop()
        assert tick_in_lockstep(lambda: owner.world.tick(30.0), [realmaster]) > frames[-1]


def test_frame_realizes_every_image_alone(owner, camera):
    engine, images = Negative(first=4, frames=4), queue.Queue()
    with owner.synchronous():
        realmaster = realmaster_live.realize(camera, engine=engine, policy="frame")
        realmaster.listen(images.put)
        for _ in range(5):
            tick = owner.world.tick(30.0)
            assert images.get(timeout=30).frame == tick
        realmaster.stop()
    assert [set(chunk.frame_ids) for chunk in engine.chunks[:2]] == [{tick - 4}, {tick - 3}]


def test_two_passes_hand_over_a_recording_when_the_camera_stops(owner, tmp_path):
    camera = owner.spawn_camera(image_size_x=WIDTH, image_size_y=HEIGHT)
    engine, images = Negative(first=4, frames=4), queue.Queue()
    with owner.synchronous():
        realmaster = realmaster_live.realize(
            camera, engine=engine, policy="two_pass", record=tmp_path / "drive"
        )
        realmaster.listen(images.put)
        ticks = [owner.world.tick(30.0) for _ in range(8)]
        drawn = [images.get(timeout=30) for _ in ticks]
        realmaster.stop()
    with Recording(tmp_path / "drive") as recording:
        (name,) = recording.cameras
        samples = list(recording.samples(name))
    assert [sample.frame.frame_id for sample in samples] == ticks
    for image, chunk_frame in zip(drawn, engine.chunks[0].frames, strict=False):
        np.testing.assert_array_equal(rgb(image), chunk_frame)


def test_cameras_of_one_size_share_the_weights(owner):
    cameras = [
        realmaster_live.realize(owner.spawn_camera(image_size_x=WIDTH, image_size_y=HEIGHT))
        for _ in range(2)
    ]
    first, second = (camera.engine for camera in cameras)
    assert first is not second and first._sessions is second._sessions
    assert (first.spec.width, first.spec.height) == (WIDTH, HEIGHT)
    assert cameras[0].destroy() and second._sessions and cameras[1].destroy()


def test_everything_else_is_the_cameras(owner, camera):
    realmaster = RealizedCamera(camera, Negative())
    assert realmaster.id == camera.id and realmaster.type_id == "sensor.camera.rgb"
    assert realmaster.attributes == camera.attributes
    assert realmaster.parent.id == owner.hero.id and realmaster.camera is camera
    assert not realmaster.is_listening()
    assert str(camera) in repr(realmaster)
    with pytest.raises(AttributeError, match="no_such_thing"):
        realmaster.no_such_thing  # noqa: B018


def test_what_is_no_callback_is_refused_and_the_listener_stays(owner, camera):
    got: list = []
    realmaster = RealizedCamera(camera, Negative())
    realmaster.listen(got.append)
    for other in (None, 3):
        with pytest.raises(TypeError):
            owner.spawn_camera(image_size_x=WIDTH, image_size_y=HEIGHT).listen(other)  # the same
        with pytest.raises(TypeError, match="expected a callback"):
            realmaster.listen(other)
    before = len(got)
    owner.wait_until(lambda: len(got) > before)
    realmaster.stop()


@pytest.mark.parametrize("size", ["512x288", (512,), (512.0, 288.0), (0, 32), 512])
def test_what_is_no_size_is_refused(camera, size):
    with pytest.raises(ConfigError, match=r"expected size as \(width, height\) in pixels, got"):
        realmaster_live.realize(camera, size=size)


def test_a_prompt_that_is_no_text_is_refused(camera):
    with pytest.raises(EngineError, match=r"expected a prompt .* got 3: use"):
        realmaster_live.realize(camera, prompt=3)


def test_destroy_destroys_the_camera_and_only_our_own_engine(owner, camera):
    given = Negative()
    realmaster = RealizedCamera(camera, given)
    realmaster.listen(lambda image: None)
    assert realmaster.destroy() and not camera.is_alive and not given.closed
    owned = Negative()
    other = owner.spawn_camera(image_size_x=WIDTH, image_size_y=HEIGHT)
    RealizedCamera(other, owned, on_destroy=owned.close).destroy()
    assert owned.closed


def test_what_breaks_the_engine_reaches_the_user(owner, camera, caplog):
    realmaster = RealizedCamera(camera, Broken())
    realmaster.listen(lambda image: None)
    owner.wait_until(lambda: "on fire" in caplog.text)
    with pytest.raises(ArithmeticError, match="on fire"):
        realmaster.get_transform()
    assert not camera.is_listening()
    realmaster.stop()


def test_a_callback_that_raises_is_counted_and_named(owner, camera, caplog):
    calls: list = []

    def callback(image) -> None:
        calls.append(image)
        raise LookupError("mine")

    realmaster = RealizedCamera(camera, Negative())
    realmaster.listen(callback)
    owner.wait_until(lambda: len(calls) >= 3)  # as with the client itself, the camera goes on
    realmaster.stop()
    assert realmaster.figures.failures == len(calls)
    assert caplog.text.count("callback raised on frame") == 1


def test_stop_may_be_called_in_the_callback(owner, camera):
    got: list = []
    realmaster = RealizedCamera(camera, Negative())

    def callback(image) -> None:
        got.append(image)
        realmaster.stop()

    realmaster.listen(callback)
    owner.wait_until(lambda: bool(got))
    owner.wait_until(lambda: not camera.is_listening())


def test_listening_again_starts_afresh_and_says_how_late_it_is(owner, camera, caplog):
    first: list = []
    second: list = []
    realmaster = RealizedCamera(camera, Negative())
    realmaster.listen(first.append)
    owner.wait_until(lambda: len(first) >= 2)
    realmaster.listen(second.append)
    owner.wait_until(lambda: len(second) >= 2)
    realmaster.stop()
    assert first[-1].frame < second[0].frame
    assert "that waits for the image of its tick goes on" in caplog.text


def test_a_camera_of_another_size_is_scaled_with_a_note(owner, caplog):
    camera = owner.spawn_camera(image_size_x=200, image_size_y=100)
    engine, got = Negative(), []
    realmaster = realmaster_live.realize(camera, engine=engine, policy="delay")
    realmaster.listen(got.append)
    owner.wait_until(lambda: len(got) >= 2)
    realmaster.stop()
    assert engine.chunks[0].frames.shape[1:3] == (HEIGHT, WIDTH)
    assert (got[0].width, got[0].height) == (200, 100)
    assert "200x100 pictures are realized at 96x64" in caplog.text


def test_other_sensors_and_unknown_policies_are_refused(owner, camera):
    with pytest.raises(ConfigError, match="lockstep, two_pass, frame, got 'late'"):
        RealizedCamera(camera, Negative(), policy="late")
    slow = owner.spawn_camera(image_size_x=WIDTH, image_size_y=HEIGHT, sensor_tick=0.5)
    with pytest.raises(ConfigError, match="expected sensor_tick 0 for policy lockstep"):
        RealizedCamera(slow, Negative(), policy="lockstep")
    with pytest.raises(ConfigError, match="only colour can be realized"):
        RealizedCamera(owner.hero, Negative())
