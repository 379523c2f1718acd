import dataclasses
import os

import cv2
import numpy as np
import pytest
from footage import frames_of, write_film, write_pair, write_pictures, write_recording
from street import SIZE, street

from realmaster_live.errors import PairError
from realmaster_live.recording import Recording
from realmaster_live.replay.picture_files import list_pictures
from realmaster_live.training.data import open_array
from realmaster_live.training.pairs.plan import PlanConfig, plan
from realmaster_live.training.pairs.reels import describe
from realmaster_live.training.pairs.sources import (
    read_frames,
    read_label,
    read_truth,
    window,
)
from realmaster_live.training.pairs.stage import Clip


def clip_of(kind, source, **fields):
    facts = {"clip_id": "clip", "first": 0, "frames": 5, "fps": 20.0, "sha256": ""}
    size = {"width": SIZE[0], "height": SIZE[1]}
    return Clip(kind=kind, source=str(source), **facts | size | fields)


def test_a_recording_gives_the_frames_that_it_plays(tmp_path):
    folder = write_recording(tmp_path / "drive", chunks=6)
    played = [frame.image for frame in Recording(folder).frames()]
    for first, stride in ((0, 1), (7, 1), (13, 2), (2, 5)):
        clip = clip_of("recording", folder, first=first, stride=stride)
        expected = np.stack(played[first : first + 5 * stride : stride])
        np.testing.assert_array_equal(read_frames(clip), expected)


def test_labels_are_cut_like_the_frames(tmp_path):
    folder = write_recording(tmp_path / "drive", chunks=6)
    names = ("depth", "semantic", "instance", "flow")
    played = list(Recording(folder).frames())
    whole = clip_of("recording", folder, first=6, stride=3, labels=names)
    for name in ("depth", "semantic", "instance"):
        expected = np.stack([frame.labels[name] for frame in played[6:21:3]])
        found = read_label(whole, name)
        np.testing.assert_array_equal(found, expected)
        assert found.dtype == expected.dtype
    small = clip_of("recording", folder, first=6, width=48, height=32, labels=names)
    for name in ("depth", "semantic", "instance"):
        expected = np.stack([frame.labels[name][1::2, 1::2] for frame in played[6:11]])
        np.testing.assert_array_equal(read_label(small, name), expected)
    flow = read_label(small, "flow")
    assert flow.shape == (5, 32, 48, 2)
    assert flow.max() == pytest.approx(1.0)  # 2 pixels of the source
    with pytest.raises(PairError, match="at stride 3"):
        read_label(whole, "flow")
    with pytest.raises(PairError, match="expected the label normals of clip, got depth, semantic"):
        read_label(whole, "normals")


def test_a_pair_gives_render_and_truth(tmp_path):
    pair = write_pair(tmp_path / "pairs", 3)
    np.save(pair.with_suffix(".instance.npy"), np.arange(12)[:, None, None] * np.ones((1, 64, 96)))
    clip = plan(tmp_path / "set", PlanConfig(frames=5, fps=10.0, size="keep"), [pair]).clips[0]
    assert clip.stride == 2
    np.testing.assert_array_equal(read_frames(clip), frames_of(10)[::2])
    np.testing.assert_array_equal(read_truth(clip), frames_of(10)[::2] // 2)
    assert clip.labels == ("instance",)
    instance = read_label(clip, "instance")
    assert instance.dtype == np.int32
    assert instance[:, 0, 0].tolist() == [0, 2, 4, 6, 8]
    film = clip_of("video", write_film(tmp_path / "film.mp4"))
    with pytest.raises(PairError, match="a truth of its own"):
        read_truth(film)


def test_pictures_are_in_the_order_of_their_numbers(tmp_path):
    folder = write_pictures(tmp_path / "shots", [SIZE] * 12)
    assert [path.stem for path in list_pictures(folder)] == [f"frame{n}" for n in range(12)]
    clip = clip_of("images", folder, first=3, stride=2)
    expected = np.stack([street(n)[0] for n in (3, 5, 7, 9, 11)])
    np.testing.assert_array_equal(read_frames(clip), expected)
    with pytest.raises(PairError, match=r"expected frame 12 .* got 12 frames"):
        read_frames(dataclasses.replace(clip, first=4))
    (folder / "frame5.png").write_bytes(b"nothing")
    with pytest.raises(PairError, match=r"picture in .*frame5\.png"):
        read_frames(clip)


def test_pictures_of_two_sizes_are_refused(tmp_path):
    folder = write_pictures(tmp_path / "shots", [SIZE] * 3 + [(128, 96)] * 3)
    with pytest.raises(PairError, match=r"one size .* got \(96, 128\) after \(64, 96\) at frame 3"):
        read_frames(clip_of("images", folder))


def test_resizing_keeps_the_middle_and_averages(tmp_path):
    folder = tmp_path / "shots"
    folder.mkdir()
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (128, 320, 3), np.uint8)
    for index in range(5):
        cv2.imwrite(str(folder / f"{index}.png"), picture[..., ::-1])
    frames = read_frames(clip_of("images", folder))  # 96 x 64 of 192 x 128 in the middle
    middle = picture[:, 64:256].astype(float)
    expected = middle.reshape(64, 2, 96, 2, 3).mean((1, 3))
    assert abs(frames[2] - expected).max() <= 0.5


@pytest.mark.parametrize(
    ("source", "size", "part"),
    [
        ((70, 100), (64, 96), (3, 2, 64, 96)),  # cut, not resampled
        ((480, 854), (480, 848), (0, 3, 480, 848)),
        ((1080, 1920), (480, 832), (0, 24, 1080, 1872)),
        ((600, 800), (288, 512), (75, 0, 450, 800)),
    ],
)
def test_the_window_is_centred_and_of_the_clips_aspect(source, size, part):
    assert window(*source, *size) == part


def test_a_kind_that_is_not_known_is_refused(tmp_path):
    with pytest.raises(PairError, match="got 'hologram'"):
        read_frames(clip_of("hologram", tmp_path))


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ('{"seed": 7, "a": ' + "[" * 100_000 + "]" * 100_000 + "}", "nested too deep"),
        ("[1]", "expected the description of a pair"),
        ('{"seed": "x"}', "expected the description of a pair"),
        ('{"seed": 1e400}', "expected the description of a pair"),
        ('{"seed": 7, "dt": 0}', "above 0 for dt"),
        ('{"seed": 7, "dt": "fast"}', "above 0 for dt"),
    ],
)
def test_a_pair_whose_description_makes_no_sense_is_one_sentence(facts, reason, tmp_path):
    for kind in ("sim", "truth"):
        np.save(tmp_path / f"a.{kind}.npy", np.zeros((5, 16, 16, 3), np.uint8))
    (tmp_path / "a.json").write_text(facts)
    with pytest.raises(PairError, match=reason) as caught:
        describe("pairs", tmp_path / "a.json")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("damage", ["fifo", "claim", "empty", "pickle"])
def test_an_array_that_is_none_is_one_sentence(damage, tmp_path):
    path = tmp_path / "a.sim.npy"
    if damage == "fifo":
        os.mkfifo(path)
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "pickle":
        np.save(path, np.array([{}], dtype=object), allow_pickle=True)
    else:
        np.save(path, np.zeros((500, 4), np.uint8))
        path.write_bytes(path.read_bytes()[:-1999])
    with pytest.raises(PairError):
        open_array(path)
