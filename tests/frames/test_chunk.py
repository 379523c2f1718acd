import dataclasses

import numpy as np
import pytest

from realmaster_live import Chunk, ChunkSpec, Frame, SourceInfo


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


def _value(name, number):
    """Return a value of a field of Frame that no other field and frame has."""
    picture = np.full((4, 6, 3), number, np.uint8)
    return {
        "camera": "left",
        "frame_id": number,
        "timestamp": number / 10,
        "captured_at": number / 7,
        "image": picture,
        "intrinsics": np.eye(3) * 3,
        "cam_to_world": np.eye(4) * number,
        "labels": {"depth": picture[..., 0].astype(np.float32)},
        "dropped_before": 0,
        "distortion": np.arange(5.0),
        "ego_to_world": np.eye(4) * (number + 100),
        "objects": (number,),
        "source": SourceInfo(town=f"Town{number}"),
        "ego": f"ego {number}",
    }[name]


def _is_same(a, b):
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(_is_same(a[name], b[name]) for name in a)
    return np.array_equal(a, b) if isinstance(a, np.ndarray) else a == b


def test_every_field_of_a_frame_is_in_its_chunk_and_in_every_part_of_it():
    """A new field of Frame that a chunk lacks, or that a cut or an engine loses, fails here."""
    names = [field.name for field in dataclasses.fields(Frame)]
    frames = [Frame(**{name: _value(name, n) for name in names}) for n in range(1, 5)]
    fields = {
        field.metadata["frame"]: (field.name, field.metadata["stacked"])
        for field in dataclasses.fields(Chunk)
        if "frame" in field.metadata
    }
    assert fields.keys() == set(names) - {"dropped_before"}  # which the chunk adds up
    whole = Chunk.of(frames, index=3, dropped_before=2)
    realized = whole.with_frames(255 - whole.frames)
    last = realized.last(2)
    assert (whole.index, last.index, last.dropped_before) == (3, 3, 4)
    for name, (home, is_stacked) in fields.items():
        for row, frame in enumerate(frames):
            value = getattr(whole, home)
            if is_stacked:
                value = {k: v[row] for k, v in value.items()} if name == "labels" else value[row]
            assert _is_same(value, getattr(frame, name)), name
            if row >= 2 and is_stacked and name not in ("image", "labels"):
                assert _is_same(getattr(last, home)[row - 2], getattr(frame, name)), name
    assert np.array_equal(last.labels["depth"], whole.labels["depth"][2:])
    assert np.array_equal(last.rendered, whole.frames[2:])
    stacked = [f.name for f in dataclasses.fields(Chunk) if f.metadata.get("stacked")]
    for name in stacked:
        value = getattr(last, name)
        assert not isinstance(value, np.ndarray | tuple) or len(value) in (0, 2), name


def test_frames_and_chunks_say_what_they_are():
    frame = Frame(**{f.name: _value(f.name, 7) for f in dataclasses.fields(Frame)})
    assert repr(frame) == "Frame('left' 7 at 0.700 s, 6x4, labels: depth, 1 objects)"
    chunk = Chunk.of([frame], index=0)
    assert repr(chunk) == "Chunk('left' 0, frames 7..7, 1x6x4 captured, labels: depth)"
