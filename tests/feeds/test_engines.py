"""Engines of several cameras, of single frames, and of two passes."""

from dataclasses import replace

import numpy as np
import pytest

from realmaster_live.engines.load import load_engine
from realmaster_live.errors import ConfigError, RecordingError
from realmaster_live.feeds.choice import CameraChoice
from realmaster_live.feeds.feed import CameraFeed
from realmaster_live.feeds.one_frame import OneFrameEngine, one_frame
from realmaster_live.feeds.realizing import Realizing, engine_under, rounded
from realmaster_live.feeds.shared_engines import SharedEngines
from realmaster_live.frames.chunk import Chunk
from realmaster_live.frames.ego import EgoState
from realmaster_live.protocols import SharingEngine
from realmaster_live.recording import Recording


def chunk_of(frames, index=0):
    count = len(frames)
    return Chunk(
        index=index,
        camera="a",
        frames=frames,
        frame_ids=np.arange(count),
        timestamps=np.arange(count) / 20,
        captured_at=np.zeros(count),
        intrinsics=np.eye(3),
        cam_to_world=np.tile(np.eye(4), (count, 1, 1)),
    )


def test_cameras_of_one_size_share_their_weights_and_nothing_else():
    shared = SharedEngines(lambda w, h, fps: load_engine(width=w, height=h, fps=fps, threads=1))
    first, second = (shared.engine_for(64, 32, 20.0) for _ in range(2))
    assert isinstance(first, SharingEngine) and first is not second
    assert first._sessions is second._sessions
    alone = load_engine(width=64, height=32, threads=1)
    chunks = [
        chunk_of(np.random.default_rng(seed).integers(0, 256, (4, 32, 64, 3), np.uint8))
        for seed in range(4)
    ]
    expected = [alone.realize(chunk).frames for chunk in chunks[:2]]
    got = []
    for mine, others in zip(chunks[:2], chunks[2:], strict=True):
        got.append(first.realize(mine).frames)
        second.realize(others)
    np.testing.assert_array_equal(got, expected)
    first.set_prompt("rain")
    assert second.realize(chunks[0]).prompt != "rain"
    shared.release(first)
    second.reset()
    second.realize(chunks[0])  # the weights are still there
    third = shared.engine_for(64, 32, 20.0)
    assert third._sessions is second._sessions
    shared.close()
    alone.close()


def test_engines_that_cannot_share_are_loaded_again_and_named(negative, caplog):
    made = []

    def load(width, height, fps):
        made.append(negative(size=(width, height)))
        return made[-1]

    shared = SharedEngines(load)
    assert shared.engine_for(16, 8, 20.0) is not shared.engine_for(16, 8, 20.0)
    assert "Negative cannot share its weights: 2 cameras of 16x8" in caplog.text
    shared.close()
    assert all(engine.closed for engine in made)


def test_single_frames_through_an_engine_of_chunks(negative):
    engine = OneFrameEngine(negative(first=1, frames=4))
    assert (engine.spec.frames, engine.spec.first_frames) == (1, 1)
    frame, still = np.full((1, 8, 16, 3), 9, np.uint8), np.zeros(3)
    ego = EgoState(
        frame_id=0, timestamp=0.0, velocity=still, acceleration=still, angular_velocity=still
    )
    for _ in range(2):
        realized = engine.realize(replace(chunk_of(frame), egos=(ego,)))
        assert realized.frames.tolist() == (255 - frame).tolist() and realized.egos == (ego,)
    assert [len(chunk) for chunk in engine.engine.chunks] == [1, 4]
    engine.reset()
    engine.realize(chunk_of(frame))
    assert len(engine.engine.chunks[-1]) == 1 and engine.engine.resets == 1


def test_a_model_of_one_frame_chunks_is_taken_as_it_is(negative):
    engine = negative(first=1, frames=1)
    assert one_frame(engine) is engine


def test_two_passes_record_what_was_drawn_and_hand_over_what_was_realized(
    negative, listener, arrive, tmp_path
):
    engine = negative(first=4, frames=4, size=(64, 32))
    two = engine_under("two_pass", engine, tmp_path / "drive")
    feed = CameraFeed("front", two, listener, policy="two_pass")
    for number in range(10, 20):
        feed.put(arrive(number, size=(64, 32)))
    feed.finish()
    assert listener.got == [(number, None) for number in range(10, 20)]
    assert not engine.chunks
    stats = two.hand_over()
    assert stats.realized == 8  # two whole chunks; the rest is in none
    with Recording(tmp_path / "drive") as recording:
        samples = list(recording.samples("front"))
    assert [sample.frame.frame_id for sample in samples] == list(range(10, 18))
    assert [path.name for path in tmp_path.iterdir()] == ["drive"]


def test_two_passes_want_a_new_folder(negative, tmp_path):
    (tmp_path / "drive").mkdir()
    (tmp_path / "drive" / "mine.txt").write_text("mine")
    with pytest.raises(RecordingError):
        engine_under("two_pass", negative(), tmp_path / "drive")
    with pytest.raises(ConfigError, match="expected a folder to record in"):
        engine_under("two_pass", negative())
    with pytest.raises(ConfigError, match="expected no folder to record in"):
        Realizing(policy="hold", record=tmp_path)


def test_an_engine_that_is_not_there_is_named_before_any_camera_listens(tmp_path):
    assert Realizing(engine=str(tmp_path)).engine == str(tmp_path)
    with pytest.raises(ConfigError, match="expected embedded or identity or the folder"):
        Realizing(engine="nothere")


def test_the_engines_size_is_the_cameras_rounded():
    assert [rounded(side) for side in (1, 32, 48, 49, 600, 720, 800)] == [
        32, 32, 32, 64, 608, 704, 800,
    ]  # fmt: skip
    assert Realizing().size_for(800, 600) == (800, 608)
    assert Realizing(size=(512, 288)).size_for(1280, 720) == (512, 288)


def test_which_cameras_are_realized():
    choice = CameraChoice(roles=("front", "left"), sizes=((64, 32),), count=2)
    rgb = "sensor.camera.rgb"
    fits = {"role_name": "left", "image_size_x": "64", "image_size_y": "32"}
    assert choice.fits(rgb, fits) and CameraChoice().fits(rgb, {})
    assert not choice.fits("sensor.camera.depth", fits)
    assert not choice.fits(rgb, {**fits, "role_name": "back"})
    assert not choice.fits(rgb, {**fits, "image_size_x": "65"})
    assert choice.has_room(1) and not choice.has_room(2)
    with pytest.raises(ConfigError, match="1 or more cameras"):
        CameraChoice(count=0)
