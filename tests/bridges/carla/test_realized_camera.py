"""The drop-in camera, with a small real engine and the real carla client."""

import threading
import time

import carla
import cv2
import numpy as np
import pytest

import realmaster_live
from realmaster_live.bridges.carla.image_worker import WAITING_CHUNKS
from realmaster_live.bridges.carla.images import bgra_view, rgb
from realmaster_live.bridges.carla.realized_camera import RealizedCamera
from realmaster_live.errors import ConfigError
from realmaster_live.frames.chunk import Chunk, ChunkSpec

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
        self.gate.wait(10.0)
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
        realmaster = realmaster_live.realize(camera, engine=engine)
        realmaster.listen(realized.append)
        time.sleep(0.2)  # both streams are connected by then
        ticks = [owner.world.tick(5.0) for _ in range(10)]  # a loop that never waits for images
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
        realmaster = RealizedCamera(camera, engine)
        got: list = []
        realmaster.listen(got.append)
        time.sleep(0.1)
        ticks = [owner.world.tick(5.0) for _ in range(6)]
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


def test_stop_flushes_what_has_arrived_and_tells_no_more(owner, camera):
    engine, got = Negative(first=4, frames=4), []
    with owner.synchronous():
        realmaster = RealizedCamera(camera, engine)
        realmaster.listen(got.append)
        arrived: list = []
        camera_twin = owner.town.client().get_world().get_actor(camera.id)
        camera_twin.listen(arrived.append)
        time.sleep(0.2)
        ticks = [owner.world.tick(5.0) for _ in range(6)]
        owner.wait_until(lambda: len(arrived) == 6 and len(got) == 4)
        time.sleep(0.1)
        realmaster.stop()
        assert [image.frame for image in got] == ticks
        assert [len(chunk) for chunk in engine.chunks] == [4, 4]  # filled up, never shorter
        owner.world.tick(5.0)
        time.sleep(0.1)
        assert len(got) == 6
        camera_twin.stop()
    realmaster.stop()


def test_a_slow_engine_loses_the_oldest_and_counts_them(owner, camera):
    engine, got = Negative(first=2, frames=2), []
    engine.gate.clear()
    with owner.synchronous():
        realmaster = RealizedCamera(camera, engine)
        realmaster.listen(got.append)
        time.sleep(0.1)
        ticks = []
        for _ in range(14):
            ticks.append(owner.world.tick(5.0))
            time.sleep(0.01)
        owner.wait_until(lambda: realmaster.dropped == 14 - 2 - 2 * WAITING_CHUNKS)
        engine.gate.set()
        realmaster.stop()
    kept = ticks[:2] + ticks[-2 * WAITING_CHUNKS :]
    assert [image.frame for image in got] == kept
    assert engine.chunks[1].dropped_before == realmaster.dropped == 6
    assert engine.resets == 2  # at the start, and for the gap


def test_everything_else_is_the_cameras(owner, camera):
    realmaster = RealizedCamera(camera, Negative())
    assert realmaster.id == camera.id and realmaster.type_id == "sensor.camera.rgb"
    assert realmaster.attributes == camera.attributes
    assert realmaster.parent.id == owner.hero.id and realmaster.camera is camera
    assert not realmaster.is_listening()
    with pytest.raises(AttributeError, match="no_such_thing"):
        realmaster.no_such_thing  # noqa: B018


def test_destroy_destroys_the_camera_and_only_our_own_engine(owner, camera):
    given = Negative()
    realmaster = RealizedCamera(camera, given)
    realmaster.listen(lambda image: None)
    assert realmaster.destroy() and not camera.is_alive and not given.closed
    owned = Negative()
    other = owner.spawn_camera(image_size_x=WIDTH, image_size_y=HEIGHT)
    RealizedCamera(other, owned, close_engine=True).destroy()
    assert owned.closed


def test_what_breaks_the_engine_reaches_the_user(owner, camera, caplog):
    realmaster = RealizedCamera(camera, Broken())
    realmaster.listen(lambda image: None)
    owner.wait_until(lambda: "on fire" in caplog.text)
    with pytest.raises(ArithmeticError, match="on fire"):
        realmaster.get_transform()
    assert not camera.is_listening()
    realmaster.stop()


def test_what_breaks_in_the_callback_is_raised_by_stop(owner, camera):
    calls: list = []

    def callback(image) -> None:
        calls.append(image)
        raise LookupError("mine")

    realmaster = RealizedCamera(camera, Negative())
    realmaster.listen(callback)
    owner.wait_until(lambda: len(calls) == 1)
    with pytest.raises(LookupError, match="mine"):
        realmaster.stop()
    assert len(calls) == 1


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
    assert "each image comes up to 3 frames after its tick" in caplog.text


def test_a_camera_of_another_size_is_refused_with_the_size_that_fits(owner):
    camera = owner.spawn_camera(image_size_x=200, image_size_y=100)
    with pytest.raises(ConfigError, match="set image_size_x=96 and image_size_y=64"):
        realmaster_live.realize(camera, engine=Negative())


def test_other_sensors_and_unknown_policies_are_refused(owner, camera):
    with pytest.raises(ConfigError, match="expected policy delay, got 'hold'"):
        RealizedCamera(camera, Negative(), policy="hold")
    with pytest.raises(ConfigError, match="only colour can be realized"):
        RealizedCamera(owner.hero, Negative())
