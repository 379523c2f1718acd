"""The card beside each export: the hub's own reader takes it, and it says what is so."""

import pytest

from realmaster_live import SourceInfo
from realmaster_live.datasets import Selection, SplitRule, coco, webdataset_shards
from realmaster_live.datasets.folder import ExportOptions

hub = pytest.importorskip("huggingface_hub")


def card_of(folder):
    """Return the front matter, and section title -> text."""
    card = hub.DatasetCard.load(folder / "README.md")
    sections = dict(part.split("\n\n", 1) for part in ("\n" + card.text).split("\n## ")[1:])
    return card.data.to_dict(), sections


def test_the_hub_reads_licence_size_and_tasks(drive, tmp_path):
    folders = (
        drive("a", town="Town01", licence="CC-BY-4.0", seed=3, route="r|1", weather="noon"),
        drive("b", town="Town02", licence="CC-BY-4.0"),
    )
    rule = SplitRule(shares=(0.5, 0.5))
    coco.export(Selection(recordings=folders, variant="sim", split=rule), tmp_path / "my set")
    data, sections = card_of(tmp_path / "my set")
    assert data["license"] == "cc-by-4.0"
    assert data["pretty_name"] == "my set"
    assert data["size_categories"] == ["n<1K"]
    assert data["task_categories"] == ["object-detection", "image-segmentation"]
    assert {"synthetic", "coco"} <= set(data["tags"])
    assert [*sections] == [
        "Contents",
        "Splits",
        "How it was made",
        "Recordings",
        "Licence",
        "Known flaws",
        "Trust",
        "Which labels are kept",
    ]
    assert (
        "| a | " in sections["Recordings"]
        and "| Town01 | r\\|1 | noon | 3 |" in sections["Recordings"]
    )
    assert "16 frames as coco, sim" in sections["Contents"]
    assert sections["Splits"].count("| 1 | 8 |") == 2
    assert "weights" not in sections["Licence"]  # no realized picture is in it
    assert "Rendered pictures" in sections["Known flaws"]
    assert "concerns realized pictures only" in sections["Trust"]


def test_licences_of_recordings_simulator_and_weights_are_stated(drive, tmp_path):
    town = SourceInfo(simulator="carla", server_version="0.9.16", town="Town03")
    folders = (
        drive("a", source=town, town="", licence="CC-BY-4.0", engine="wan-1.3b",
              engine_sha256="ab" * 32, engine_licence="Apache-2.0"),
        drive("b", town="MiniTown7", engine="identity"),
    )  # fmt: skip
    webdataset_shards.export(Selection(recordings=folders, variant="paired"), tmp_path / "out")
    data, sections = card_of(tmp_path / "out")
    assert data["license"] == "other"
    assert data["license_name"] == "Apache-2.0, CC-BY-4.0, not stated"
    making, licence = sections["How it was made"], sections["Licence"]
    assert "simulator: carla 0.9.16 in 1 recording; minitown in 1 recording" in making
    assert "wan-1.3b (sha256 abababababab) in 1 recording" in making
    assert "front 160x96" in making and "towns: MiniTown7, Town03" in making
    assert "CARLA: code MIT, assets CC-BY 4.0" in licence and "embedded town: Apache-2.0" in licence
    assert "engine wan-1.3b, as its manifest states it: Apache-2.0" in licence
    assert "not stated for 1 recording (b)" in licence
    assert "identity hold the rendered pictures" in sections["Known flaws"]


def test_an_unknown_licence_is_unknown(drive, tmp_path):
    coco.export(Selection(recordings=(drive(),), variant="real"), tmp_path / "out")
    assert card_of(tmp_path / "out")[0]["license"] == "unknown"


def test_trust_and_losses_are_counted(drive, tmp_path):
    folder = drive("a", low=111)
    coco.export(Selection(recordings=(folder,), variant="real"), tmp_path / "out")
    trust = card_of(tmp_path / "out")[1]["Trust"]
    assert "8 of 8 recorded frames were judged: 8 passed" in trust
    assert "score of frames: median 0.90, 5 % below 0.90" in trust
    assert "8 things were judged; 100.0% of them score below 0.5" in trust
    plain = drive("b")
    coco.export(Selection(recordings=(plain,), variant="real"), tmp_path / "plain")
    assert "no frame was judged" in card_of(tmp_path / "plain")[1]["Trust"]


def test_a_damaged_recording_and_an_odd_name_give_a_card_all_the_same(drive, tmp_path):
    folder = drive("a", chunks=4, segment_s=0.35)
    broken = folder / "segments/000001/objects.parquet"
    broken.write_bytes(broken.read_bytes()[:100])
    out = tmp_path / 'x: "y" # z'
    coco.export(Selection(recordings=(folder,), variant="real"), out)
    data, sections = card_of(out)
    assert data["pretty_name"] == out.name
    assert "damaged segments, which are left out: a" in sections["Known flaws"]


def test_an_export_that_is_resumed_has_a_card_of_all_its_recordings(drive, tmp_path):
    first, second = drive("a", town="Town01"), drive("b", town="Town02")
    coco.export(Selection(recordings=(first,), variant="real"), tmp_path / "out")
    options = ExportOptions(resume=True)
    coco.export(
        Selection(recordings=(first, second), variant="real"), tmp_path / "out", options=options
    )
    text = card_of(tmp_path / "out")[1]["Recordings"]
    assert "| a | train | 8 | Town01" in text and "| b | train | 8 | Town02" in text
