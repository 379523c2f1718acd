"""LeRobot exports, read as LeRobotDataset of lerobot 0.4.4 reads them."""

import json
import os
import subprocess
from pathlib import Path

import av
import numpy as np
import pyarrow.parquet as pq
import pytest
from driven_scene import EGO_SPEED, FPS, record_drive

from realmaster_live.datasets import Selection, SplitRule, lerobot
from realmaster_live.datasets.folder import ExportOptions
from realmaster_live.datasets.lerobot import GROUP
from realmaster_live.errors import ConfigError
from realmaster_live.recording import Recording

CHECK = Path(__file__).parent.parent / "parts/check_lerobot.py"
TOLERANCE_S = 1e-4  # LeRobotDataset's own


class Reader:
    """What LeRobotDataset does: metadata first, then rows by index, then frames by timestamp."""

    def __init__(self, root):
        self.root = root
        self.info = json.loads((root / "meta/info.json").read_text())
        self.stats = json.loads((root / "meta/stats.json").read_text())
        self.episodes = self._rows("meta/episodes")
        self.rows = self._rows("data")
        table = pq.read_table(root / "meta/tasks.parquet")
        self.tasks = {row["task_index"]: row["__index_level_0__"] for row in table.to_pylist()}
        self.pandas = json.loads(table.schema.metadata[b"pandas"])

    def _rows(self, folder):
        paths = sorted((self.root / folder).glob("*/*.parquet"))
        return [row for path in paths for row in pq.read_table(path).to_pylist()]

    def picture(self, index, key):
        row = self.rows[index]
        episode = self.episodes[row["episode_index"]]
        path = self.root / self.info["video_path"].format(
            video_key=key,
            chunk_index=episode[f"videos/{key}/chunk_index"],
            file_index=episode[f"videos/{key}/file_index"],
        )
        wanted = episode[f"videos/{key}/from_timestamp"] + row["timestamp"]
        with av.open(str(path)) as container:
            container.seek(round(wanted * av.time_base))
            frames = list(container.decode(video=0))
        assert wanted - frames[0].time < GROUP / self.info["fps"]  # a key frame was near
        frame = min(frames, key=lambda one: abs(one.time - wanted))
        assert abs(frame.time - wanted) < TOLERANCE_S
        return frame.reformat(
            format="rgb24", src_colorspace="ITU709", src_color_range="MPEG"
        ).to_ndarray()


@pytest.fixture(scope="module")
def drives(tmp_path_factory):
    """The first loses half a second before its fourth chunk; the second has no loss."""
    folder = tmp_path_factory.mktemp("recordings")
    cameras = ("front", "back")
    return (
        record_drive(folder / "one", town="Town01", cameras=cameras, chunks=8, gaps={4: 10}),
        record_drive(folder / "two", town="Town02", cameras=cameras, chunks=3),
    )


@pytest.fixture(scope="module")
def selection(drives):
    return Selection(
        recordings=drives, variant="paired", split=SplitRule(val=("Town01",), train=("Town02",))
    )


@pytest.fixture(scope="module")
def exported(selection, tmp_path_factory):
    out = tmp_path_factory.mktemp("exports") / "lerobot"
    lerobot.export(selection, out)
    return out


@pytest.fixture(scope="module")
def dataset(exported):
    return Reader(exported)


def test_episodes_end_at_gaps_and_splits_are_ranges_of_them(dataset):
    info = dataset.info
    assert info["codebase_version"] == "v3.0"
    assert info["fps"] == FPS
    assert (info["total_episodes"], info["total_frames"], info["total_tasks"]) == (3, 44, 2)
    assert info["splits"] == {"train": "0:1", "val": "1:3"}
    assert [row["length"] for row in dataset.episodes] == [12, 16, 16]
    assert [row["dataset_from_index"] for row in dataset.episodes] == [0, 12, 28]
    assert [row["dataset_to_index"] for row in dataset.episodes] == [12, 28, 44]
    assert dataset.tasks == {
        0: "drive through Town02 in noon", 1: "drive through Town01 in noon",
    }  # fmt: skip
    assert [row["tasks"] for row in dataset.episodes] == [
        [dataset.tasks[0]], [dataset.tasks[1]], [dataset.tasks[1]],
    ]  # fmt: skip
    assert dataset.pandas["index_columns"] == ["__index_level_0__"]


def test_rows_are_numbered_through_and_have_every_feature(dataset):
    features = dataset.info["features"]
    videos = {key for key, feature in features.items() if feature["dtype"] == "video"}
    assert videos == {
        f"observation.images.{camera}_{kind}" for camera in ("front", "back")
        for kind in ("sim", "real")
    }  # fmt: skip
    for index, row in enumerate(dataset.rows):
        assert set(row) == set(features) - videos
        assert row["index"] == index
        episode = dataset.episodes[row["episode_index"]]
        assert row["frame_index"] == index - episode["dataset_from_index"]
        assert row["timestamp"] == pytest.approx(row["frame_index"] / FPS)
        for name in ("observation.state", "action"):
            assert len(row[name]) == features[name]["shape"][0] == len(features[name]["names"])
    for episode in dataset.episodes:
        for key in videos:
            assert episode[f"videos/{key}/from_timestamp"] == 0
            assert episode[f"videos/{key}/to_timestamp"] == episode["length"] / FPS
    for key in videos:
        assert features[key]["shape"] == [96, 160, 3]
        assert features[key]["info"]["video.codec"] == "h264"


def test_a_timestamp_leads_to_the_picture_of_its_frame(dataset, drives):
    recorded = {
        (folder.name, sample.frame.frame_id): sample
        for folder in drives
        for sample in Recording(folder).samples("front")
    }
    for index in (0, 5, 11, 12, 19, 27, 28, 43):
        name = "two" if index < 12 else "one"
        sample = recorded[name, dataset.rows[index]["simulator.frame_id"]]
        assert dataset.rows[index]["simulator.timestamp"] == sample.frame.timestamp
        own = {
            kind: dataset.picture(index, f"observation.images.front_{kind}").astype(int)
            for kind in ("sim", "real")
        }
        assert abs(own["sim"] - sample.frame.image).mean() < 3
        assert abs(own["real"] - sample.real).mean() < 3
        others = [
            abs(own["sim"] - one.frame.image).mean()
            for (where, _), one in recorded.items()
            if where == name
        ]
        assert min(others) == abs(own["sim"] - sample.frame.image).mean()


def test_state_is_how_the_vehicle_moved_and_action_how_it_continues(dataset, drives):
    poses = np.array(
        [sample.frame.ego_to_world for sample in Recording(drives[1]).samples("front", streams=())]
    )
    rows = dataset.rows[:12]
    for number in range(1, 12):
        speed, yaw_rate, forward, left, yaw = rows[number]["observation.state"]
        assert speed == pytest.approx(EGO_SPEED, rel=1e-3)
        assert yaw_rate == pytest.approx(np.radians(2.0), rel=1e-4)
        way = np.eye(4)
        way[:2, :2] = [[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]]
        way[:2, 3] = forward, left
        assert poses[number - 1] @ way == pytest.approx(poses[number], abs=1e-6)
        assert rows[number - 1]["action"] == pytest.approx([forward, left, yaw])
    assert rows[0]["observation.state"] == rows[1]["observation.state"]
    assert rows[11]["action"] == rows[10]["action"]


def test_statistics_are_those_of_the_training_episodes(dataset):
    rows = dataset.rows[:12]
    assert dataset.stats["index"]["max"] == [11]
    state = np.array([row["observation.state"] for row in rows])
    stats = dataset.stats["observation.state"]
    assert stats["mean"] == pytest.approx(state.mean(axis=0).tolist())
    assert stats["std"] == pytest.approx(state.std(axis=0).tolist())
    assert stats["q50"] == pytest.approx(np.median(state, axis=0).tolist())
    assert stats["count"] == [12]
    key = "observation.images.back_real"
    pictures = np.stack([dataset.picture(index, key) for index in range(12)]) / 255
    colours = dataset.stats[key]
    assert np.array(colours["mean"]).shape == (3, 1, 1)
    assert np.ravel(colours["mean"]) == pytest.approx(pictures.mean(axis=(0, 1, 2)), abs=0.02)
    assert np.ravel(colours["std"]) == pytest.approx(pictures.std(axis=(0, 1, 2)), abs=0.02)
    assert np.ravel(colours["q50"]) == pytest.approx(np.median(pictures, axis=(0, 1, 2)), abs=0.02)
    assert colours["count"] == [2]  # each tenth
    assert set(dataset.stats) == set(dataset.info["features"])
    assert {name.split("/")[1] for name in dataset.episodes[0] if name.startswith("stats/")} == set(
        dataset.info["features"]
    )


def test_a_run_that_was_stopped_continues_where_it_was(selection, drives, dataset, tmp_path):
    whole = Selection(recordings=drives, variant="real", every=2)
    first = Selection(recordings=drives[:1], variant="real", every=2)
    lerobot.export(first, tmp_path / "out")
    summary = lerobot.export(whole, tmp_path / "out", options=ExportOptions(resume=True))
    assert summary.skipped == ("one",)
    reader = Reader(tmp_path / "out")
    assert reader.info["fps"] == 10
    assert [row["length"] for row in reader.episodes] == [8, 8, 6]
    key = "observation.images.front"
    files = [row[f"videos/{key}/file_index"] for row in reader.episodes]
    assert files == [0, 1, 2]
    recorded = list(Recording(drives[1]).samples("front", streams=("real",), every=2))
    picture = reader.picture(18, key).astype(int)
    assert abs(picture - recorded[2].real).mean() < 3
    with pytest.raises(ConfigError, match="empty folder"):
        lerobot.export(whole, tmp_path / "out")


def test_recordings_that_differ_and_odd_rates_are_refused(drives, tmp_path):
    single = record_drive(tmp_path / "single", chunks=1)
    with pytest.raises(ConfigError, match="the same cameras"):
        lerobot.export(Selection(recordings=(drives[0], single)), tmp_path / "out")
    with pytest.raises(ConfigError, match="whole number of frames a second"):
        lerobot.export(Selection(recordings=(single,), every=3), tmp_path / "out")


@pytest.mark.slow
def test_lerobot_itself_opens_it(exported):
    python = os.environ.get("REALMASTER_LEROBOT_PYTHON")
    if not python:
        pytest.skip("name an interpreter with lerobot 0.4.4 in REALMASTER_LEROBOT_PYTHON")
    done = subprocess.run(
        [python, CHECK, exported], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]
    found = json.loads(done.stdout.splitlines()[-1])
    assert (found["frames"], found["episodes"], found["fps"]) == (44, 3, FPS)
    assert [item["episode"] for item in found["items"]] == [0, 0, 1, 1, 2, 2, 2]
    assert found["items"][0]["shape"] == [3, 96, 160]
