import json
import shutil

import numpy as np
import pytest

from realmaster_live.errors import PairError
from realmaster_live.frames.classes import CLASS_IDS
from realmaster_live.training.perception.augment import CROP, draw_batch
from realmaster_live.training.perception.boxes import boxes_of_masks, cropped, make_boxes
from realmaster_live.training.perception.examples import labelled_clips, read_examples
from realmaster_live.training.perception.groups import (
    DETECTED,
    FROM_CARLA,
    GROUP_INDEX,
    GROUPS,
    IGNORE,
)
from realmaster_live.training.perception.realized import engine_key, with_realized


def test_groups_take_each_class_once_and_leave_some_out():
    names = [name for its in GROUPS.values() for name in its]
    assert len(names) == len(set(names))
    assert FROM_CARLA[CLASS_IDS["rider"]] == GROUP_INDEX["pedestrian"]
    assert FROM_CARLA[CLASS_IDS["bus"]] == GROUP_INDEX["vehicle"]
    assert FROM_CARLA[CLASS_IDS["static"]] == FROM_CARLA[200] == IGNORE


def test_examples_are_the_traced_frames_with_the_pictures_of_their_moment(folders):
    clips = labelled_clips(folders[:1])
    one, two = (read_examples(clips, most)[0] for most in (1, 2))
    assert [e.name for e in one] == ["town2000-0:7"]  # the last one
    assert [e.name for e in two] == ["town2000-0:3", "town2000-0:7"]
    sim, truth = (np.load(clips[0].file(f"{kind}.npy")) for kind in ("sim", "truth"))
    assert np.array_equal(two[0].pictures["sim"], sim[3])
    assert np.array_equal(two[0].pictures["truth"], truth[0])
    assert np.array_equal(two[1].pictures["truth"], truth[1])
    assert [DETECTED[kind] for kind in two[0].boxes.kinds] == ["vehicle", "vehicle", "pedestrian"]
    assert (two[1].boxes.corners - two[0].boxes.corners == [4, 0, 4, 0]).all()  # they moved
    assert (two[0].groups[150:] == IGNORE).all()


def test_clips_without_labels_are_refused_and_of_two_sizes_too(folders, tmp_path):
    with pytest.raises(PairError, match="--with-labels"):
        labelled_clips([tmp_path])
    for path in folders[1].iterdir():
        shutil.copy(path, tmp_path)
    np.save(tmp_path / "town3000-0.truth.npy", np.zeros((2, 16, 16, 3), np.uint8))
    with pytest.raises(PairError, match="one size"):
        read_examples(labelled_clips([tmp_path]), 1)
    (tmp_path / "town3000-0.labels.npz").unlink()
    with pytest.raises(PairError, match="none of 1"):
        labelled_clips([tmp_path])


def test_a_rider_and_the_bicycle_are_two_boxes():
    groups = np.full((40, 60), GROUP_INDEX["road"], np.uint8)
    instance = np.zeros((40, 60), np.int32)
    groups[5:20, 10:25], groups[20:30, 8:30] = GROUP_INDEX["pedestrian"], GROUP_INDEX["two-wheeler"]
    groups[35:38, 50:60] = GROUP_INDEX["vehicle"]
    instance[5:30, 5:35] = 7
    instance[35:38, 50:60] = 8
    boxes = boxes_of_masks(groups, instance)
    found = {
        DETECTED[kind]: (corners.tolist(), bool(hard))
        for kind, corners, hard in zip(boxes.kinds, boxes.corners, boxes.hard, strict=True)
    }
    assert found == {
        "vehicle": ([50, 35, 60, 38], True),  # three pixels high
        "pedestrian": ([10, 5, 25, 20], False),
        "two-wheeler": ([8, 20, 30, 30], False),
    }


def test_boxes_are_cropped_scaled_and_mirrored():
    boxes = make_boxes([(10, 10, 30, 30), (90, 10, 130, 30), (200, 0, 220, 20)], [0, 1, 2])
    cut = cropped(boxes, 0, 0, 2.0, 200, 100, mirror=False)
    assert cut.corners.tolist() == [[20, 20, 60, 60], [180, 20, 200, 60]]
    assert cut.hard.tolist() == [False, True] and cut.kinds.tolist() == [0, 1]
    mirrored = cropped(boxes, 0, 0, 2.0, 200, 100, mirror=True)
    assert mirrored.corners.tolist() == [[140, 20, 180, 60], [0, 20, 20, 60]]


def test_every_variant_sees_the_same_crops(folders):
    examples = [e for its in read_examples(labelled_clips(folders[:1]), 2) for e in its]
    again, sim, truth, mixed = (
        draw_batch(examples, variants, seed=3, step=9, batch=4)
        for variants in (("sim",), ("sim",), ("truth",), ("sim", "truth"))
    )
    assert sim.pictures.shape == (4, *CROP, 3)
    assert np.array_equal(again.pictures, sim.pictures)
    assert np.array_equal(sim.groups, truth.groups)
    assert all(
        np.array_equal(a.corners, b.corners) for a, b in zip(sim.boxes, truth.boxes, strict=True)
    )
    assert sim.pictures.mean() > truth.pictures.mean() + 0.05
    same = [np.array_equal(m, s) for m, s in zip(mixed.pictures, sim.pictures, strict=True)]
    assert sorted(same) == [False, False, True, True]
    other = draw_batch(examples, ("sim",), seed=3, step=10, batch=4)
    assert not np.array_equal(other.groups, sim.groups)


def test_labels_stay_on_their_pixels_in_a_crop(folders):
    """The pictures are of one colour a class: a crop's pixels say which class they show."""
    examples = read_examples(labelled_clips(folders[:1]), 1)[0]
    batch = draw_batch(examples, ("sim",), seed=0, step=0, batch=8)
    sky, road = (
        np.median(examples[0].pictures["sim"][examples[0].groups == GROUP_INDEX[name]], 0) / 255
        for name in ("sky", "road")
    )
    agree = []
    for picture, groups in zip(batch.pictures, batch.groups, strict=True):
        known = np.isin(groups, [GROUP_INDEX["sky"], GROUP_INDEX["road"]])
        nearer_sky = np.abs(picture - sky).sum(-1) < np.abs(picture - road).sum(-1)
        agree.append((nearer_sky == (groups == GROUP_INDEX["sky"]))[known].mean())
    assert np.mean(agree) > 0.97


def test_an_engine_plays_each_clip_once(folders, tmp_path):
    clips = labelled_clips(folders[:1])
    examples = read_examples(clips, 2)
    whole = with_realized(clips, examples, tmp_path, "identity")
    assert all(np.array_equal(e.pictures["real"], e.pictures["sim"]) for its in whole for e in its)
    kept = sorted((tmp_path / engine_key("identity")).glob("*.npz"))
    before = [path.stat().st_mtime_ns for path in kept]
    with_realized(clips, examples, tmp_path, "identity")
    assert len(kept) == 3 and [path.stat().st_mtime_ns for path in kept] == before


def test_a_frame_after_the_last_whole_chunk_is_refused(folders, tmp_path):
    for path in folders[1].iterdir():
        shutil.copy(path, tmp_path)
    (tmp_path / "town3000-0.json").write_text(
        json.dumps({"seed": 3000, "frames": 6, "truth_frames": [3, 5]})
    )
    for kind in ("sim",):
        array = np.load(tmp_path / f"town3000-0.{kind}.npy")
        np.save(tmp_path / f"town3000-0.{kind}.npy", array[:6])
    with np.load(folders[1] / "town3000-0.labels.npz") as labels:
        np.savez(tmp_path / "town3000-0.labels.npz", **{key: labels[key][:6] for key in labels})
    clips = labelled_clips([tmp_path])
    with pytest.raises(PairError, match="whole chunk of 4"):
        with_realized(clips, read_examples(clips, 1), tmp_path / "cache", "identity")
