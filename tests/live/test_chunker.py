import time
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realmaster_live import ChunkSpec, Frame
from realmaster_live.errors import ConfigError
from realmaster_live.live.chunker import Chunker


def make_frame(number, *, width=16, height=8, **changes):
    image = np.full((height, width, 3), number % 256, np.uint8)
    values = {
        "camera": "front",
        "frame_id": number,
        "timestamp": number / 20,
        "captured_at": time.monotonic(),
        "image": image,
        "intrinsics": np.array([[10.0, 0, width / 2], [0, 10.0, height / 2], [0, 0, 1]]),
        "cam_to_world": np.eye(4),
        "labels": {"depth": np.full((height, width), number, np.float32)},
    }
    return Frame(**{**values, **changes})


def spec(frames=4, first=0):
    return ChunkSpec(frames=frames, height=8, width=16, fps=20, first_frames=first)


def chunks_of(chunker, numbers):
    made = [chunker.push(make_frame(number)) for number in numbers]
    chunker.finish()
    return [chunk for chunk in made if chunk is not None]


def test_frames_become_chunks_in_order():
    chunks = chunks_of(Chunker(spec()), range(100, 112))
    assert [chunk.index for chunk in chunks] == [0, 1, 2]
    assert np.concatenate([chunk.frame_ids for chunk in chunks]).tolist() == list(range(100, 112))
    assert chunks[1].frames[2, 0, 0, 0] == 106
    assert chunks[1].labels["depth"][2, 0, 0] == 106
    assert all(chunk.dropped_before == 0 for chunk in chunks)


def test_the_first_chunk_may_be_shorter():
    chunks = chunks_of(Chunker(spec(4, first=1)), range(9))
    assert [len(chunk) for chunk in chunks] == [1, 4, 4]


def test_a_gap_starts_anew_and_says_what_is_missing():
    chunker = Chunker(spec(4, first=1))
    # 0 | 1 2 3 4 | 5 6, then 7 8 9 never come
    chunks = chunks_of(chunker, [0, 1, 2, 3, 4, 5, 6, 10, 11, 12, 13, 14])
    assert [chunk.frame_ids.tolist() for chunk in chunks] == [
        [0],
        [1, 2, 3, 4],
        [10],
        [11, 12, 13, 14],
    ]
    assert [chunk.dropped_before for chunk in chunks] == [0, 0, 5, 0]
    assert [chunk.index for chunk in chunks] == [0, 1, 2, 3]
    assert (chunker.lost, chunker.discarded) == (3, 2)


def test_a_loss_that_the_source_reports_counts_without_a_gap_in_the_numbers():
    chunker = Chunker(spec(2))
    made = [chunker.push(make_frame(n, dropped_before=3 if n == 2 else 0)) for n in range(4)]
    assert [c.dropped_before for c in made if c] == [0, 3]
    assert chunker.lost == 3


@pytest.mark.parametrize(
    "odd",
    [
        {"frame_id": 1},
        {"intrinsics": np.diag([99.0, 99.0, 1.0])},
        {"labels": {}},
    ],
)
def test_a_source_that_starts_over_skips_an_index(odd):
    chunker = Chunker(spec(2))
    made = [chunker.push(make_frame(n)) for n in range(4)]
    made += [
        chunker.push(make_frame(4 + n, **{**odd, **extra}))
        for n, extra in enumerate([{}, {"frame_id": 2} if "frame_id" in odd else {}])
    ]
    assert [chunk.index for chunk in made if chunk] == [0, 1, 3]
    assert chunker.lost == 0


def test_numbers_may_grow_in_steps():
    chunker = Chunker(spec(2), frame_step=3)
    chunks = chunks_of(chunker, [0, 3, 6, 9])
    assert len(chunks) == 2
    assert chunker.lost == 0
    assert chunks_of(Chunker(spec(2), frame_step=3), [0, 3, 9, 12])[1].dropped_before == 1


def test_another_size_is_refused_with_the_size_that_fits():
    with pytest.raises(ConfigError, match=r"expected 16x8 frames.*got 32x24"):
        Chunker(spec()).push(make_frame(0, width=32, height=24))


def test_resizing_scales_picture_labels_and_optics():
    flow = np.ones((24, 32, 2), np.float32)
    frame = make_frame(7, width=32, height=24)
    frame = make_frame(7, width=32, height=24, labels={**frame.labels, "flow": flow})
    chunk = Chunker(spec(1), resize=True).push(frame)
    assert chunk.frames.shape == (1, 8, 16, 3)
    assert chunk.frames.max() == 7
    assert chunk.labels["depth"].shape == (1, 8, 16)
    assert chunk.labels["depth"].dtype == np.float32
    np.testing.assert_allclose(chunk.labels["flow"][0, 0, 0], [1 / 2, 1 / 3])
    np.testing.assert_allclose(chunk.intrinsics[:2, 2], [8, 4])


def test_two_cameras_are_refused():
    chunker = Chunker(spec())
    chunker.push(make_frame(0))
    with pytest.raises(ConfigError, match="an engine for each camera"):
        chunker.push(make_frame(1, camera="rear"))


def test_the_last_frames_cut_every_array():
    chunk = chunks_of(Chunker(spec(4)), range(4))[0]
    kept = chunk.with_frames(chunk.frames + 1).last(1)
    assert kept.frame_ids.tolist() == [3]
    assert kept.dropped_before == 3
    assert kept.rendered.shape == kept.frames.shape == (1, 8, 16, 3)
    assert chunk.last(4) is chunk


@given(
    numbers=st.lists(st.integers(0, 60), unique=True).map(sorted),
    frames=st.integers(1, 5),
    first=st.integers(1, 5),
)
def test_nothing_is_lost_without_being_counted(numbers, frames, first):
    chunker = Chunker(spec(frames, first=min(first, frames)))
    chunks = chunks_of(chunker, numbers)
    kept = [int(number) for chunk in chunks for number in chunk.frame_ids]
    assert len(kept) + chunker.discarded == len(numbers)
    if numbers:
        assert chunker.lost == numbers[-1] - numbers[0] + 1 - len(numbers)
    for before, after in pairwise(chunks):
        missing = int(after.frame_ids[0] - before.frame_ids[-1]) - 1
        assert after.dropped_before == missing
        assert np.all(np.diff(after.frame_ids) == 1)
