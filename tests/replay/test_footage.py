"""How footage is read: rates, order, names, and several cameras."""

from dataclasses import replace
from fractions import Fraction

import av
import numpy as np
import pytest
from footage import frames_of, write_film, write_recording
from street import SIZE, make_chunk

from realmaster_live import ChunkSpec
from realmaster_live.cli import main
from realmaster_live.recording import Recorder, Recording
from realmaster_live.replay.footage import Reading
from realmaster_live.replay.kinds import find_footage, open_footage
from realmaster_live.replay.video_rate import sampled


def film_at(path, times_ms):
    """Write frame i at times_ms[i], as a phone does."""
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=30, options={"crf": "10"})
        stream.width, stream.height = SIZE
        stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        for picture, at in zip(frames_of(len(times_ms)), times_ms, strict=True):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = at, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def test_a_steady_rate_takes_each_frame_once():
    times = np.arange(40) / 30 + np.random.default_rng(1).uniform(-0.01, 0.01, 40)
    np.testing.assert_array_equal(sampled(np.sort(times), 30), np.arange(40))


def test_another_rate_takes_the_nearest_frame_in_time():
    times = np.arange(61) / 60
    np.testing.assert_array_equal(sampled(times, 20), np.arange(0, 61, 3))
    slow = sampled(np.arange(5) / 10, 20)
    np.testing.assert_array_equal(slow, [0, 0, 1, 1, 2, 2, 3, 3, 4])
    for fps in (7, 13, 25, 59.94):
        times = np.cumsum(np.random.default_rng(2).uniform(0.01, 0.08, 100))
        turns = np.arange(len(sampled(times, fps))) / fps
        distance = np.abs(times[sampled(times, fps)] - times[0] - turns)
        best = np.abs(times[:, None] - times[0] - turns).min(axis=0)
        np.testing.assert_allclose(distance, best)


def test_a_video_of_variable_rate_is_resampled(tmp_path):
    times = [0, 50, 100, 150, 400, 450, 500, 550, 600, 650]
    path = film_at(tmp_path / "phone.mp4", times)
    (footage,) = find_footage(str(path), Reading())
    assert footage.fps == 20
    frames = list(open_footage(footage, Reading()).frames())
    assert len(frames) == footage.frames == 14
    assert [frame.timestamp for frame in frames] == pytest.approx(np.arange(14) / 20)
    shown = [0, 1, 2, 3, 3, 3, 4, 4, 4, 5, 6, 7, 8, 9]
    truth = frames_of(10).astype(int)
    for frame, index in zip(frames, shown, strict=True):
        off = [abs(frame.image - picture).mean() for picture in truth]
        assert off[index] == min(off)


def test_a_slower_rate_is_chosen(tmp_path):
    path = write_film(tmp_path / "film.mp4", frames=30, fps=20)
    out = tmp_path / "out"
    flags = ["--fps", "10", "--engine", "identity", "--out", str(out), "--quiet"]
    assert main(["replay", str(path), *flags]) == 0
    with Recording(out) as recording:
        assert recording.meta.spec.fps == 10
        assert [frame.timestamp for frame in recording.frames()][:3] == pytest.approx([0, 0.1, 0.2])


def test_inputs_of_one_name_get_places_of_their_own(tmp_path):
    for town in ("a", "b"):
        write_recording(tmp_path / town / "drive", chunks=2, labels=())
    names = [str(tmp_path / town / "drive") for town in ("a", "b")]
    out = tmp_path / "out"
    assert main(["replay", *names, "--engine", "identity", "--out", str(out), "--quiet"]) == 0
    assert sorted(path.name for path in out.iterdir() if path.name[0] != ".") == [
        "drive",
        "drive~2",
    ]


def test_several_cameras_are_realized_each_with_its_own_past(tmp_path):
    spec = ChunkSpec(frames=4, width=SIZE[0], height=SIZE[1], fps=20)
    with Recorder(tmp_path / "rig", spec, lossless=True) as recorder:
        for index in range(3):
            for number, camera in enumerate(("left", "right")):
                chunk = make_chunk(index + 5 * number, labels=("semantic",))
                ids = make_chunk(index).frame_ids
                chunk = replace(chunk, camera=camera, index=index, frame_ids=ids)
                chunk = replace(chunk, timestamps=make_chunk(index).timestamps)
                recorder.write(replace(chunk, frames=chunk.rendered, rendered=None))
    out = tmp_path / "out"
    assert main(["replay", str(tmp_path / "rig"), "--out", str(out), "--lossless", "--quiet"]) == 0
    with Recording(out) as both:
        assert both.cameras == ("left", "right")
        assert len(both) == 24
        left = [sample.real for sample in both.samples("left")]
    alone = tmp_path / "alone"
    with Recorder(alone, spec, lossless=True) as recorder:
        for index in range(3):
            chunk = make_chunk(index, labels=("semantic",))
            recorder.write(replace(chunk, camera="left", frames=chunk.rendered, rendered=None))
    made = tmp_path / "made"
    assert main(["replay", str(alone), "--out", str(made), "--lossless", "--quiet"]) == 0
    with Recording(made) as one:
        np.testing.assert_array_equal(left, [sample.real for sample in one.samples("left")])
