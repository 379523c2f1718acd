"""Training on recordings without an export: frames, windows, boxes and splits are right."""

import json
import pickle
from dataclasses import replace

import numpy as np
import pytest
from driven_scene import driven_chunk, realized

import realmaster_live as rm
from realmaster_live.datasets import Rules, Selection, SplitRule, coco
from realmaster_live.datasets.categories import COCO
from realmaster_live.datasets.selection import drives_of
from realmaster_live.errors import ConfigError, RecordingError

torch = pytest.importorskip("torch")
DataLoader = torch.utils.data.DataLoader


def near(picture, expected):
    """Whether a decoded picture is the one that was recorded."""
    return np.abs(picture.astype(int) - expected).mean() < 4


def test_an_item_is_what_was_recorded(drive):
    folder = drive(chunks=3)
    data = rm.datasets.FrameDataset(
        folder, labels=("depth", "semantic", "instance", "boxes_2d", "boxes_3d")
    )
    assert len(data) == 12
    recording = rm.Recording(folder)
    for index in (7, 0, 11, -1):
        item, sample = data[index], recording[index]
        assert item["image"].shape == (3, 96, 160) and item["image"].dtype == torch.uint8
        picture = item["image"].permute(1, 2, 0).numpy()
        np.testing.assert_array_equal(picture, sample.real)
        assert near(picture, realized(driven_chunk(index % 12 // 4).rendered[index % 4]))
        for name in ("depth", "semantic", "instance"):
            np.testing.assert_array_equal(item[name].numpy(), sample.labels[name])
        assert (item["frame_id"], item["timestamp"]) == (sample.frame_id, sample.timestamp)
        assert (item["recording"], item["camera"], item["town"]) == ("drive", "front", "Town01")
        np.testing.assert_array_equal(item["cam_to_world"], sample.frame.cam_to_world)
        np.testing.assert_array_equal(item["ego_to_world"], sample.frame.ego_to_world)
        boxes, marks = item["boxes_2d"], [one for one in sample.annotations if one.pixels]
        assert boxes["boxes"].tolist() == [list(one.visible) for one in marks]
        assert boxes["labels"].tolist() == [one.class_id for one in marks]
        things = [one.thing for one in marks if one.thing is not None]
        in_world = item["cam_to_world"].float() @ item["boxes_3d"]["object_to_camera"]
        expected = np.array([thing.object_to_world for thing in things])
        np.testing.assert_allclose(in_world, expected, atol=1e-4)
        assert item["boxes_3d"]["object_ids"].tolist() == [thing.object_id for thing in things]


@pytest.mark.parametrize(("pictures", "names"), [("sim", {"image"}), ("paired", {"sim", "real"})])
def test_pictures_are_chosen(drive, pictures, names):
    folder = drive()
    item = rm.datasets.FrameDataset(folder, pictures=pictures)[3]
    assert names == {name for name, value in item.items() if getattr(value, "ndim", 0) == 3}
    rendered = item["sim" if pictures == "paired" else "image"].permute(1, 2, 0).numpy()
    np.testing.assert_array_equal(rendered, rm.Recording(folder)[3].image)


def test_boxes_are_those_of_an_export_by_the_same_rules(drive, tmp_path):
    folder = drive(chunks=3, low=111)
    rules = Rules(min_pixels=30, max_distance_m=14.0)
    selection = Selection(recordings=(folder,), variant="real", rules=rules)
    coco.export(selection, tmp_path / "coco")
    content = json.loads((tmp_path / "coco/annotations/instances_train.json").read_text())
    expected = {image["id"]: [] for image in content["images"]}
    for one in content["annotations"]:
        left, top, width, height = one["bbox"]
        box = [left, top, left + width, top + height]
        expected[one["image_id"]].append((one["category_id"], one["iscrowd"], box))
    data = rm.datasets.FrameDataset(folder, labels="boxes_2d", categories=COCO, rules=rules)
    found = []
    for item in data:
        boxes = item["boxes_2d"]
        columns = (boxes[name].tolist() for name in ("labels", "ignored", "boxes"))
        found.append(sorted(zip(*columns, strict=True)))
    assert found == [sorted(boxes) for boxes in expected.values()]
    assert {ignored for boxes in found for _, ignored, _ in boxes} == {0, 1}


def test_windows_lie_in_unbroken_runs(tmp_path, spec_of_drives):
    with rm.Recorder(tmp_path / "d", spec_of_drives) as recorder:
        for index in range(2):
            recorder.write(driven_chunk(index))
        for index in range(2, 5):  # three frames are missing before
            recorder.write(replace(driven_chunk(index, lost=3), dropped_before=3 * (index == 2)))
    numbers = [frame.frame_id for frame in rm.Recording(tmp_path / "d")]
    whole = rm.datasets.FrameDataset(tmp_path / "d", window=6, labels=("semantic", "boxes_2d"))
    firsts = [item["frame_id"][0].item() for item in whole]
    assert firsts == [*numbers[:3], *numbers[8:15]]
    item = whole[4]
    assert item["image"].shape == (6, 3, 96, 160) and item["semantic"].shape == (6, 96, 160)
    assert item["frame_id"].tolist() == numbers[9:15]
    assert len(item["boxes_2d"]) == 6 and item["cam_to_world"].shape == (6, 4, 4)
    for offset in range(6):
        alone = rm.datasets.FrameDataset(tmp_path / "d")[9 + offset]["image"]
        assert torch.equal(item["image"][offset], alone)
    apart = rm.datasets.FrameDataset(tmp_path / "d", window=2, stride=3, every=2)
    taken = [item["frame_id"].tolist() for item in apart]
    assert taken == [[numbers[at], numbers[at + 2]] for at in (0, 8, 14)]


def test_frames_that_the_gate_rejected_are_left_out_and_end_windows(tmp_path, spec_of_drives):
    with rm.Recorder(tmp_path / "d", spec_of_drives) as recorder:
        for index in range(4):
            chunk = driven_chunk(index, trust=0.9)
            verdict = "quarantined" if index == 1 else "passed"
            trust = tuple(replace(one, verdict=verdict) for one in chunk.trust)
            recorder.write(replace(chunk, trust=trust))
    assert len(rm.datasets.FrameDataset(tmp_path / "d")) == 12
    windows = rm.datasets.FrameDataset(tmp_path / "d", window=3)
    assert len(windows) == 2 + 6
    rules = Rules(min_frame_trust=0.95)
    with pytest.raises(ConfigError, match=r"\(left out: .*quarantined 4"):
        rm.datasets.FrameDataset(tmp_path / "d", rules=rules)


def test_splits_are_those_of_exports(drive, tmp_path):
    folders = [drive(f"d{number}", town=f"Town{number % 5:02d}", chunks=1) for number in range(7)]
    rule = SplitRule(shares=(0.6, 0.2, 0.2))
    expected = {
        one.name: one.split for one in drives_of(Selection(recordings=tuple(folders), split=rule))
    }
    found = {}
    for split in ("train", "val", "test"):
        by_shares = rm.datasets.FrameDataset(tmp_path / "d*", split=split, shares=(0.6, 0.2, 0.2))
        by_rule = rm.datasets.FrameDataset(folders, split=split, split_by=rule)
        names = {item["recording"] for item in by_shares}
        assert names == {item["recording"] for item in by_rule}
        found |= dict.fromkeys(names, split)
    assert found == expected
    assert len(rm.datasets.FrameDataset(tmp_path / "d*")) == 28


def test_transforms_and_loaders(drive):
    folder = drive(chunks=4, cameras=("front", "back"))

    def brighter(item):
        return {"image": item["image"].float() / 255, "semantic": item["semantic"].long()}

    data = rm.datasets.FrameDataset(folder, labels=("semantic",), transform=brighter)
    batches = list(DataLoader(data, batch_size=8))
    assert [batch["image"].shape for batch in batches] == [(8, 3, 96, 160)] * 4
    assert batches[0]["semantic"].dtype == torch.int64
    boxes = rm.datasets.FrameDataset(folder, labels=("boxes_2d",), cameras="back")
    batch = next(iter(DataLoader(boxes, batch_size=5, collate_fn=rm.datasets.collate)))
    assert batch["image"].shape == (5, 3, 96, 160) and batch["frame_id"].shape == (5,)
    assert len(batch["boxes_2d"]) == 5 and batch["camera"] == ["back"] * 5


def test_forked_workers_read_what_the_parent_reads(drive):
    folder = drive(chunks=6, segment_s=0.35)
    data = rm.datasets.FrameDataset(folder, labels=("instance", "boxes_2d"))
    expected = [data[index] for index in range(len(data))]  # the parent's files are open
    options = {"batch_size": None, "num_workers": 2, "multiprocessing_context": "fork"}
    for _ in range(2):
        for item, other in zip(DataLoader(data, **options), expected, strict=True):
            assert item["frame_id"] == other["frame_id"]
            assert torch.equal(item["image"], other["image"])
            assert torch.equal(item["instance"], other["instance"])
            assert torch.equal(item["boxes_2d"]["boxes"], other["boxes_2d"]["boxes"])
    assert torch.equal(data[3]["image"], expected[3]["image"])


@pytest.mark.slow
def test_spawned_workers_read_what_the_parent_reads(drive):
    data = rm.datasets.FrameDataset(drive(chunks=2), labels=("semantic",), window=2)
    options = {"batch_size": None, "num_workers": 1, "multiprocessing_context": "spawn"}
    items = list(DataLoader(data, **options))
    assert len(items) == len(data) == 7
    for item, other in zip(items, data, strict=True):
        assert torch.equal(item["image"], other["image"])


def test_a_pickled_data_set_is_the_same(drive):
    data = rm.datasets.FrameDataset(drive(), labels=("semantic",))
    assert data[2]["semantic"].any()
    again = pickle.loads(pickle.dumps(data))
    assert repr(again) == repr(data) and torch.equal(again[5]["image"], data[5]["image"])


def test_it_shows_what_it_holds(drive):
    data = rm.datasets.FrameDataset(drive(), labels="semantic", window=4)
    assert repr(data) == (
        "FrameDataset(5 windows of 4 frames in 1 recordings: real pictures, semantic)"
    )
    with pytest.raises(IndexError, match="below 5, got 5"):
        data[5]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"labels": ("semantics",)}, "expected labels among depth, semantic.*got semantics"),
        ({"labels": ("flow",)}, "got sim, real, depth.*: record with --labels flow"),
        ({"pictures": "photo"}, "expected pictures among sim, real, paired, got 'photo'"),
        ({"cameras": ("rear",)}, "expected cameras among front in drive, got rear"),
        ({"window": 9}, "expected 9 frames in a row, got 8 frames in shorter runs"),
        ({"window": 0}, "expected window of 1 or more, got 0"),
        ({"split": "training"}, "expected a split among train, val, test, got 'training'"),
        ({"split": "val"}, "expected at least one town for each of train, val, test, got 1"),
        ({"split": "val", "shares": (1.0,)}, "in the split val, got all of them in train"),
        ({"split": "train", "split_by": "route"}, "expected a route in meta.json"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_said_in_one_sentence(drive, options, message):
    folder = drive()
    with pytest.raises(ConfigError, match=message) as caught:
        rm.datasets.FrameDataset(folder, **options)
    assert "\n" not in str(caught.value)


def test_recordings_that_are_none(drive, tmp_path, caplog):
    (tmp_path / "e1").mkdir()
    with pytest.raises(ConfigError, match=r"expected recordings at .*e\*, got none among 1 others"):
        rm.datasets.FrameDataset(tmp_path / "e*")
    with pytest.raises(ConfigError, match="got nothing there"):
        rm.datasets.FrameDataset(tmp_path / "f*")
    with pytest.raises(RecordingError, match=r"expected .*e1/meta.json, got no such file"):
        rm.datasets.FrameDataset(tmp_path / "e1")
    drive("e2")
    assert len(rm.datasets.FrameDataset(tmp_path / "e*")) == 8
    assert "passed over" in caplog.text and "e1" in caplog.text
    rendered = drive("g", realized=False)
    with pytest.raises(ConfigError, match='replay it through an engine, or take pictures="sim"'):
        rm.datasets.FrameDataset(rendered)


def test_damage_is_named(drive):
    folder = drive(chunks=3)
    film = folder / "segments/000000/front/real.mp4"
    film.write_bytes(film.read_bytes()[:900])
    data = rm.datasets.FrameDataset(folder)
    with pytest.raises(RecordingError, match=r"real\.mp4"):
        [item["image"] for item in data]
    with pytest.raises(RecordingError, match="as it was recorded, got other bytes"):
        rm.datasets.FrameDataset(folder, verify=True)[0]
