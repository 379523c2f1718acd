"""WebDataset exports, opened by webdataset."""

import gc
import gzip
import io
import json
import warnings

import cv2
import numpy as np
import pytest
from driven_scene import record_drive

from realmaster_live.datasets import Rules, Selection, SplitRule, webdataset_shards
from realmaster_live.datasets.folder import ExportOptions
from realmaster_live.frames.classes import CLASS_IDS
from realmaster_live.recording import Recording

wds = pytest.importorskip("webdataset")


@pytest.fixture(scope="module")
def drives(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recordings")
    return tuple(
        record_drive(folder / f"{town}.one", town=town, cameras=("front", "back"), chunks=3)
        for town in ("Town01", "Town02")
    )


def whole(data):
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)


def array(data):
    return np.load(io.BytesIO(gzip.decompress(data)), allow_pickle=False)


def opened(folder, decode=None):
    urls = sorted(str(path) for path in folder.glob("*.tar"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # webdataset leaves files to the collector
        data = wds.WebDataset(urls, shardshuffle=False)
        samples = list(data if decode is None else data.decode(*decode))
        gc.collect()
    return samples


def test_shards_hold_every_frame_of_their_split_with_pictures_labels_and_facts(drives, tmp_path):
    selection = Selection(
        recordings=drives, variant="paired", split=SplitRule(train=("Town01",), test=("Town02",))
    )
    summary = webdataset_shards.export(selection, tmp_path / "out", shard_bytes=80_000)
    assert summary.frames == 48
    samples = opened(tmp_path / "out/train")
    assert len(samples) == len({sample["__key__"] for sample in samples}) == 24
    assert [file.name for file in sorted((tmp_path / "out").iterdir()) if file.is_dir()] == [
        ".parts", "test", "train",
    ]  # fmt: skip
    recorded = list(Recording(drives[0]).samples("front"))
    for sample, truth in zip(samples, recorded, strict=False):
        facts = json.loads(sample["json"])
        assert sample["__key__"] == f"Town01-one_front_{truth.frame.frame_id:08d}"
        assert facts["frame_id"] == truth.frame.frame_id
        assert facts["timestamp"] == truth.frame.timestamp
        assert facts["prompt"] == "a street at noon"
        assert np.array(facts["cam_to_world"]) == pytest.approx(truth.frame.cam_to_world)
        assert np.array(facts["ego_to_world"]) == pytest.approx(truth.frame.ego_to_world)
        sim = whole(sample["sim.jpg"])[..., ::-1].astype(int)
        assert abs(sim - truth.frame.image).mean() < 4
        assert abs(whole(sample["real.jpg"])[..., ::-1].astype(int) - truth.real).mean() < 4
        labels = truth.frame.labels
        np.testing.assert_array_equal(array(sample["semantic.npy.gz"]), labels["semantic"])
        np.testing.assert_array_equal(array(sample["instance.npy.gz"]), labels["instance"] & 0xFFFF)
        np.testing.assert_array_equal(array(sample["depth.npy.gz"]), labels["depth"])


@pytest.mark.parametrize("how", [(), ("rgb",), ("pil",)], ids=str)
def test_labels_survive_webdatasets_own_decoders(drives, tmp_path, how):
    pytest.importorskip("PIL")
    webdataset_shards.export(Selection(recordings=drives[:1]), tmp_path / "out")
    truth = next(Recording(drives[0]).samples("front")).frame.labels
    sample = opened(tmp_path / "out/train", decode=how)[0]
    assert sample["depth.npy.gz"].dtype == np.float32
    assert sample["instance.npy.gz"].dtype == np.uint16
    np.testing.assert_array_equal(sample["depth.npy.gz"], truth["depth"])
    np.testing.assert_array_equal(sample["instance.npy.gz"], truth["instance"] & 0xFFFF)
    np.testing.assert_array_equal(sample["semantic.npy.gz"], truth["semantic"])
    assert sample["json"]["camera"] == "front"


def test_an_annotation_finds_its_pixels_in_the_maps(drives, tmp_path):
    selection = Selection(recordings=drives[:1], rules=Rules(min_pixels=60))
    webdataset_shards.export(selection, tmp_path / "out")
    sample = opened(tmp_path / "out/train")[0]
    semantic, instance = array(sample["semantic.npy.gz"]), array(sample["instance.npy.gz"])
    annotations = json.loads(sample["json"])["annotations"]
    assert {one["category"] for one in annotations} > {"car", "bicycle", "rider", "pedestrian"}
    for one in annotations:
        mask = (instance == one["mask_id"]) & (semantic == one["class_id"])
        assert mask.sum() == one["pixels"]
        rows, columns = np.nonzero(mask)
        assert one["visible"] == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
    rider = next(one for one in annotations if one["category"] == "rider")
    bicycle = next(one for one in annotations if one["category"] == "bicycle")
    assert rider["mask_id"] == bicycle["mask_id"]
    light = next(one for one in annotations if one["category"] == "traffic_light")
    assert (light["ignored"], light["light"]) == ("too few pixels", "red")
    car = next(one for one in annotations if one.get("object_id") == 11)
    assert car["size"] == [4.8, 2.0, 1.5]
    assert car["class_id"] == CLASS_IDS["car"]


def test_shards_end_by_size_are_listed_and_are_the_same_every_time(drives, tmp_path):
    selection = Selection(recordings=drives[:1])
    for name in ("one", "two"):
        webdataset_shards.export(selection, tmp_path / name, shard_bytes=60_000)
    shards = sorted((tmp_path / "one/train").iterdir())
    assert len(shards) > 2
    assert all(shard.stat().st_size < 90_000 for shard in shards)
    for shard in shards:
        assert shard.read_bytes() == (tmp_path / "two/train" / shard.name).read_bytes()
    card = json.loads((tmp_path / "one/dataset.json").read_text())
    assert card["splits"]["train"]["samples"] == 24
    assert list(card["splits"]["train"]["shards"]) == [shard.name for shard in shards]
    assert set(card["files"]) == {
        "sim.jpg", "real.jpg", "semantic.npy.gz", "instance.npy.gz", "depth.npy.gz", "json",
    }  # fmt: skip


def test_labels_that_were_not_recorded_are_missing_and_a_run_continues(tmp_path):
    drive = record_drive(tmp_path / "plain", labels=(), chunks=1)
    selection = Selection(recordings=(drive,), variant="real")
    webdataset_shards.export(selection, tmp_path / "out")
    files = {name for name in opened(tmp_path / "out/train")[0] if not name.startswith("__")}
    assert files == {"real.jpg", "json"}
    more = record_drive(tmp_path / "more", labels=(), chunks=1)
    longer = Selection(recordings=(drive, more), variant="real")
    summary = webdataset_shards.export(longer, tmp_path / "out", options=ExportOptions(resume=True))
    assert summary.skipped == ("plain",)
    assert len(opened(tmp_path / "out/train")) == 8
