"""One recording over two towns and a change of weather, as every data set says it."""

import csv
import json
from dataclasses import replace

import pyarrow.parquet as parquet
import pytest
from driven_scene import FPS, SIZE, driven_chunk
from mcap.reader import make_reader

from realmaster_live import ChunkSpec, Recorder, Recording, SourceInfo
from realmaster_live.cli import main
from realmaster_live.datasets import (
    Selection,
    SplitRule,
    coco,
    kitti,
    lerobot,
    mcap_log,
    nuscenes,
    webdataset_shards,
)
from realmaster_live.errors import ConfigError

CLEAR = SourceInfo(simulator="carla", map="Carla/Maps/Town01_Opt", weather={"cloudiness": 5.0})
RAIN = replace(CLEAR, weather={"precipitation": 80.0})
# the clock of the second town goes on: only the town says that it is another world
OTHER = SourceInfo(simulator="carla", map="Carla/Maps/Town02", weather="")
WORLDS = [CLEAR] * 4 + [RAIN] * 3 + [OTHER] * 4  # of each chunk of four frames
RULE = SplitRule(train=("Town01",), val=("Town02",))


@pytest.fixture(scope="module")
def drive(tmp_path_factory):
    folder = tmp_path_factory.mktemp("recordings") / "route"
    spec = ChunkSpec(frames=4, width=SIZE[0], height=SIZE[1], fps=FPS)
    with Recorder(folder, spec) as recorder:
        for index, source in enumerate(WORLDS):
            chunk = replace(driven_chunk(index), sources=(source,) * 4, prompt=None)
            recorder.write(chunk)
    return folder


@pytest.fixture(scope="module")
def replayed(drive, tmp_path_factory):
    """What `replay` makes of it: a recording of the same worlds."""
    folder = tmp_path_factory.mktemp("replays") / "route"
    arguments = ["replay", str(drive), "--engine", "identity", "--out", str(folder), "--quiet"]
    assert main(arguments) == 0
    return folder


@pytest.fixture(params=["drive", "replayed"])
def worlds(request):
    return request.getfixturevalue(request.param)


def export(module, worlds, tmp_path, **options):
    selection = Selection(recordings=(worlds,), split=RULE)
    summary = module.export(selection, tmp_path / "out", **options)
    assert {name: (one.split, one.frames) for name, one in summary.drives.items()} == {
        "route-1": ("train", 28), "route-2": ("val", 16),
    }  # fmt: skip
    return tmp_path / "out"


def table(out, name):
    return json.loads((out / f"sim/v1.0-realmaster/{name}.json").read_text())


def test_nuscenes_has_a_log_a_town_and_a_scene_a_weather(worlds, tmp_path):
    out = export(nuscenes, worlds, tmp_path)
    logs = {row["token"]: row for row in table(out, "log")}
    assert [row["location"] for row in logs.values()] == ["Town01", "Town02"]
    scenes = [
        (row["name"], row["description"], logs[row["log_token"]]["location"])
        for row in table(out, "scene")
    ]
    assert scenes == [
        ("scene-route-1-000", "Town01, clear", "Town01"),
        ("scene-route-1-001", "Town01, rain", "Town01"),
        ("scene-route-2-000", "Town02", "Town02"),
    ]
    assert json.loads((out / "sim/v1.0-realmaster/splits.json").read_text()) == {
        "realmaster_train": ["scene-route-1-000", "scene-route-1-001"],
        "realmaster_val": ["scene-route-2-000"],
    }
    for name in ("sample", "sample_data"):
        rows = {row["token"]: row for row in table(out, name)}
        following = [(row, rows[row["next"]]) for row in rows.values() if row["next"]]
        assert following
        assert all(row["timestamp"] < after["timestamp"] for row, after in following)
    (world_map,) = table(out, "map")
    assert sorted(world_map["log_tokens"]) == sorted(logs)


def test_mcap_has_a_file_a_town_and_says_where_the_weather_changes(worlds, tmp_path):
    out = export(mcap_log, worlds, tmp_path)
    scenes = []
    for path in ("train/route-1.mcap", "val/route-2.mcap"):
        with (out / path).open("rb") as file:
            reader = make_reader(file)
            (facts,) = [one.metadata for one in reader.iter_metadata() if one.name == "recording"]
            times = [m.log_time for _, _, m in reader.iter_messages("/tf", log_time_order=False)]
            messages = [json.loads(m.data) for _, _, m in reader.iter_messages("/conditions")]
        assert times == sorted(set(times))
        scenes.append((facts["town"], facts["weather"], [one["weather"] for one in messages]))
        assert {one["town"] for one in messages} == {facts["town"]}
    assert scenes == [("Town01", "clear", ["clear", "rain"]), ("Town02", "", [""])]


def test_coco_says_the_conditions_of_every_picture(worlds, tmp_path):
    out = export(coco, worlds, tmp_path)
    found = {}
    for split in ("train", "val"):
        images = json.loads((out / f"annotations/instances_{split}.json").read_text())["images"]
        found[split] = [(one["town"], one["weather"]) for one in images]
    assert found == {
        "train": [("Town01", "clear")] * 16 + [("Town01", "rain")] * 12,
        "val": [("Town02", "")] * 16,
    }


def test_kitti_says_the_conditions_of_every_number(worlds, tmp_path):
    out = export(kitti, worlds, tmp_path, suffix=".jpg")
    with (out / "frames.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["town"], row["weather"]) for row in rows] == (
        [("Town01", "clear")] * 16 + [("Town01", "rain")] * 12 + [("Town02", "")] * 16
    )
    assert {row["split"] for row in rows if row["town"] == "Town02"} == {"val"}
    assert len((out / "ImageSets/train.txt").read_text().split()) == 28


def test_lerobot_has_an_episode_a_weather_and_none_over_two_towns(worlds, tmp_path):
    out = export(lerobot, worlds, tmp_path)
    rows = parquet.read_table(out / "meta/episodes/chunk-000/file-000.parquet").to_pylist()
    assert [(row["tasks"], row["length"]) for row in rows] == [
        (["drive through Town01 in clear"], 16),
        (["drive through Town01 in rain"], 12),
        (["drive through Town02"], 16),
    ]
    info = json.loads((out / "meta/info.json").read_text())
    assert info["splits"] == {"train": "0:2", "val": "2:3"}


def test_webdataset_says_the_conditions_of_every_sample(drive, tmp_path):
    import tarfile

    out = export(webdataset_shards, drive, tmp_path)
    with tarfile.open(out / "val/route-2-000000.tar") as shard:
        names = [name for name in shard.getnames() if name.endswith(".json")]
        facts = [json.load(shard.extractfile(name)) for name in names]
    assert [(one["town"], one["weather"]) for one in facts] == [("Town02", "")] * 16


def test_a_weather_that_is_unknown_cannot_be_split_by(worlds, tmp_path):
    rule = SplitRule(by="weather", train=("clear",), val=("rain",))
    with pytest.raises(ConfigError, match=r"a weather in meta\.json of every recording"):
        coco.export(Selection(recordings=(worlds,), split=rule), tmp_path / "out")


def test_info_names_every_town_and_weather(worlds, capsys):
    assert main(["dataset", "info", str(worlds)]) == 0
    summary = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines())
    assert (summary["town"], summary["weather"]) == ("Town01, then Town02", "clear, then rain")
    meta = Recording(worlds).meta
    assert (meta.towns, meta.weathers) == (("Town01", "Town02"), ("clear", "rain"))
