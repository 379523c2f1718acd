import numpy as np
import pytest

from realmaster_live import Chunk, ChunkSpec


def make_chunk(time=3, height=4, width=6, **changes):
    arrays = {
        "index": 0,
        "camera": "front",
        "frames": np.zeros((time, height, width, 3), np.uint8),
        "frame_ids": np.arange(time),
        "timestamps": np.arange(time) / 20,
        "captured_at": np.zeros(time),
        "intrinsics": np.eye(3),
        "cam_to_world": np.tile(np.eye(4), (time, 1, 1)),
        "labels": {"depth": np.ones((time, height, width), np.float32)},
    }
    return Chunk(**{**arrays, **changes})


def test_with_frames_keeps_everything_but_the_pixels():
    chunk = make_chunk()
    realized = chunk.with_frames(chunk.frames + 7)
    assert realized.frames.max() == 7
    assert realized.rendered is chunk.frames
    assert realized.labels is chunk.labels
    assert realized.frame_ids is chunk.frame_ids


def test_rendered_stays_the_simulators_picture_after_a_second_engine():
    chunk = make_chunk()
    twice = chunk.with_frames(chunk.frames + 7).with_frames(chunk.frames + 9)
    assert twice.rendered is chunk.frames


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"frames": np.zeros((3, 4, 6, 4), np.uint8)}, "expected frames"),
        ({"frames": np.zeros((3, 4, 6, 3), np.float32)}, "float32"),
        ({"frame_ids": np.arange(2)}, "frame_ids"),
        ({"cam_to_world": np.eye(4)}, "cam_to_world"),
        ({"labels": {"depth": np.ones((3, 4, 5), np.float32)}}, "depth"),
    ],
)
def test_arrays_that_disagree_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        make_chunk(**changes)


def test_an_engine_may_not_answer_with_another_size():
    with pytest.raises(ValueError, match="as many pixels"):
        make_chunk().with_frames(np.zeros((3, 8, 12, 3), np.uint8))


def test_first_frames_is_frames_unless_given():
    assert ChunkSpec(frames=4, height=4, width=4, fps=20).first_frames == 4
    assert ChunkSpec(frames=4, height=4, width=4, fps=20, first_frames=1).first_frames == 1
    with pytest.raises(ValueError, match="positive"):
        ChunkSpec(frames=0, height=4, width=4, fps=20)
