"""Folders that are refused, gone on with, or replaced; drives that are damaged or lack streams."""

import json
import shutil
from pathlib import Path

import pytest
from installed_formats import INSTALLED

from realmaster_live.datasets import Rules, Selection, SplitRule, cityscapes, coco, kitti, yolo
from realmaster_live.datasets.folder import ExportOptions
from realmaster_live.errors import ConfigError, RecordingError

RESUME, OVERWRITE = ExportOptions(resume=True), ExportOptions(overwrite=True)


def everything(folder):
    """Return path -> bytes of an export, without its seconds and its index."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in ("export.json", "README.md")
    }


@pytest.mark.parametrize("exporter", [coco, yolo, kitti, cityscapes])
def test_an_interrupted_export_continues(drive, tmp_path, monkeypatch, exporter):
    folders = tuple(drive(name, chunks=1, seed=k) for k, name in enumerate(("one", "two", "three")))
    selection = Selection(recordings=folders)
    whole = tmp_path / "whole"
    exporter.export(selection, whole)
    # the second recording fails half way
    from realmaster_live.datasets import selection as module

    samples = module.Drive.samples

    def failing(self, camera, chosen, streams=()):
        for number, sample in enumerate(samples(self, camera, chosen, streams)):
            if self.name == "two" and number == 2:
                raise RecordingError("expected a disk, got none")
            yield sample

    out = tmp_path / "out"
    with monkeypatch.context() as broken:
        broken.setattr(module.Drive, "samples", failing)
        with pytest.raises(RecordingError, match="expected a disk"):
            exporter.export(selection, out)
    index = json.loads((out / "export.json").read_text())
    assert list(index["recordings"]) == ["one"] and not index["complete"]
    summary = exporter.export(selection, out, options=RESUME)
    assert summary.skipped == ("one",) and summary.frames == 12
    assert everything(out) == everything(whole)
    assert json.loads((out / "export.json").read_text())["complete"]


def test_a_recording_can_be_added(drive, tmp_path):
    one, two, out = drive("one", chunks=1), drive("two", chunks=1), tmp_path / "out"
    coco.export(Selection(recordings=(one,)), out)
    summary = coco.export(Selection(recordings=(one, two)), out, options=RESUME)
    assert summary.frames == 8 and list(summary.drives) == ["one", "two"]
    images = json.loads((out / "annotations/instances_train.json").read_text())["images"]
    assert [image["id"] for image in images] == list(range(1, 9))
    kitti.export(Selection(recordings=(two,)), tmp_path / "kitti")
    kitti.export(Selection(recordings=(one, two)), tmp_path / "kitti", options=RESUME)
    rows = (tmp_path / "kitti/frames.csv").read_text().splitlines()[1:]
    assert [row.split(",")[2] for row in rows] == ["two"] * 4 + ["one"] * 4


def test_a_folder_that_holds_something_is_refused(drive, tmp_path):
    out, selection = tmp_path / "out", Selection(recordings=(drive(chunks=1),))
    out.mkdir()
    (out / "thesis.tex").write_text("all of it")
    for options in (None, RESUME, OVERWRITE):
        with pytest.raises(ConfigError, match="got other files: give another folder"):
            yolo.export(selection, out, options=options)
    assert (out / "thesis.tex").read_text() == "all of it"
    (out / "thesis.tex").unlink()
    yolo.export(selection, out)
    with pytest.raises(ConfigError, match="--resume, or replace it by --overwrite"):
        yolo.export(selection, out)
    with pytest.raises(ConfigError, match="resume or overwrite, got both"):
        yolo.export(selection, out, options=ExportOptions(resume=True, overwrite=True))


@pytest.mark.parametrize("name", INSTALLED)
def test_replacing_an_export_removes_what_it_wrote_and_nothing_else(drive, tmp_path, name):
    """Another format is written over it, so that every file of the first one has to go."""
    pytest.importorskip("foxglove") if name == "mcap" else None
    selection, out = Selection(recordings=(drive("K\u00f6ln", chunks=2),)), tmp_path / "out"
    INSTALLED[name].load().export(selection, out)
    ours = files_of(out)
    for place in ("notes.txt", "a/b/notes.txt", f"{max(ours, key=len)}.bak"):
        (out / place).parent.mkdir(parents=True, exist_ok=True)
        (out / place).write_text("all of it")
    (out / ".files").write_text((out / ".files").read_text() + "../drive\n/etc/passwd\nnotes.tx")
    theirs = files_of(out) - ours
    left = max(ours, key=len)
    killed = (out / left).with_name(f".{Path(left).stem}.0123456789ab.part{Path(left).suffix}")
    killed.write_text("half of it")
    other = yolo if name == "coco" else coco
    other.export(selection, out, options=OVERWRITE)
    other.export(selection, tmp_path / "fresh")
    assert files_of(out) == files_of(tmp_path / "fresh") | theirs
    assert all((out / path).read_text() == "all of it" for path in theirs)
    assert (tmp_path / "K\u00f6ln/meta.json").is_file()


@pytest.mark.parametrize("name", INSTALLED)
@pytest.mark.parametrize("kind", ["file", "link", "folder"])
def test_a_foreign_file_in_the_way_stays(drive, tmp_path, name, kind):
    pytest.importorskip("foxglove") if name == "mcap" else None
    selection, out = Selection(recordings=(drive(chunks=1),)), tmp_path / "out"
    format_ = INSTALLED[name].load()
    format_.export(selection, tmp_path / "fresh")
    kitti.export(selection, out) if name != "kitti" else coco.export(selection, out)
    path = out / max(files_of(tmp_path / "fresh") - files_of(out), key=len)
    path.parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / "theirs").write_text("all of it")
    if kind == "link":
        path.symlink_to(tmp_path / "theirs")
    elif kind == "file":
        path.write_text("all of it")
    else:
        path.mkdir()
    with pytest.raises(RecordingError, match=r"expected to write .* got a"):
        format_.export(selection, out, options=OVERWRITE)
    assert kind == "folder" or path.read_text() == "all of it"
    path.rmdir() if kind == "folder" else path.unlink()
    format_.export(selection, out, options=OVERWRITE)


def test_a_file_where_a_folder_belongs_stays(drive, tmp_path):
    selection, out = Selection(recordings=(drive(chunks=1),)), tmp_path / "out"
    coco.export(selection, out)
    (out / "images").write_text("all of it")
    with pytest.raises(RecordingError, match=r"expected a folder at .*images, got a file"):
        yolo.export(selection, out, options=OVERWRITE)
    assert (out / "images").read_text() == "all of it"


@pytest.mark.parametrize("text", [None, "", "mine\n"])
def test_an_export_whose_files_are_not_known_stays(drive, tmp_path, text):
    selection, out = Selection(recordings=(drive(chunks=1),)), tmp_path / "out"
    coco.export(selection, out)
    (out / ".files").unlink()
    if text is not None:
        (out / ".files").write_text(text)
    before = files_of(out)
    for options in (RESUME, OVERWRITE):
        with pytest.raises(ConfigError, match=r"the list of what an export wrote .* by hand"):
            coco.export(selection, out, options=options)
    assert files_of(out) == before


def files_of(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"every": 2}, "every 2"),
        ({"variant": "paired"}, "variant paired"),
        ({"rules": Rules(min_pixels=99)}, "rules"),
        ({"split": SplitRule(test=("Town01",))}, "split"),
    ],
)
def test_another_selection_is_not_resumed(drive, tmp_path, change, message):
    folder, out = drive(chunks=1), tmp_path / "out"
    yolo.export(Selection(recordings=(folder,)), out)
    with pytest.raises(ConfigError, match=f"expected {message}.*to resume"):
        yolo.export(Selection(recordings=(folder,), **change), out, options=RESUME)
    with pytest.raises(ConfigError, match=r"expected options \{'segments': True\}"):
        yolo.export(Selection(recordings=(folder,)), out, options=RESUME, segments=True)
    with pytest.raises(ConfigError, match="expected format coco"):
        coco.export(Selection(recordings=(folder,)), out, options=RESUME)


def test_a_damaged_segment_is_named_and_the_others_are_exported(drive, tmp_path):
    folder = drive(chunks=6, segment_s=0.35)
    segments = sorted((folder / "segments").iterdir())
    assert len(segments) >= 3
    video = segments[1] / "front/sim.mp4"
    data = bytearray(video.read_bytes())
    data[len(data) // 2] ^= 0xFF
    video.write_bytes(data)
    whole, lost = drive("other", chunks=6), json.loads((segments[1] / "segment.json").read_text())
    out = tmp_path / "out"
    summary = coco.export(Selection(recordings=(folder, whole)), out)
    assert list(summary.drives["drive"].damaged) == [segments[1].name]
    missing = lost["cameras"]["front"]["frames"]
    assert summary.drives["drive"].frames == 24 - missing and summary.drives["other"].frames == 24
    text = "\n".join(summary.lines())
    assert f"segment {segments[1].name} of drive" in text and "sim.mp4" in text
    assert segments[1].name in (out / "README.md").read_text()


def test_missing_streams_are_reported_with_what_they_are_needed_for(drive, tmp_path):
    folder = drive(labels=("depth", "semantic"), chunks=1)
    with pytest.raises(
        ConfigError, match="got no instance: record with --labels instance"
    ) as error:
        coco.export(Selection(recordings=(folder,)), tmp_path / "out")
    assert "suffice for kitti_odometry, openlane, culane, " in str(error.value)
    with pytest.raises(ConfigError, match="record with --labels semantic,instance"):
        cityscapes.export(Selection(recordings=(folder,)), tmp_path / "out")
    bare = drive("bare", realized=False, chunks=1)
    with pytest.raises(ConfigError, match=r"got no real: .* through an engine"):
        coco.export(Selection(recordings=(bare,), variant="paired"), tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert coco.export(Selection(recordings=(bare,)), tmp_path / "out").frames == 4


def test_pictures_that_were_quarantined_are_left_out(drive, tmp_path):
    good, bad = drive("good", low=111, chunks=1), drive("bad", low=111, verdict="quarantined")
    summary = coco.export(Selection(recordings=(good, bad)), tmp_path / "out")
    assert summary.frames == 4 and summary.total("left_out") == {"quarantined": 8}
    assert "frames left out: 8 (quarantined 8)" in "\n".join(summary.lines())
    with pytest.raises(RecordingError, match=r"expected frames for .* got none.*quarantined 8"):
        coco.export(Selection(recordings=(bad,)), tmp_path / "none")
    strict = Rules(min_frame_trust=0.95)
    with pytest.raises(RecordingError, match="low trust 4"):
        coco.export(Selection(recordings=(good,), rules=strict), tmp_path / "strict")


def test_frames_and_cameras_are_chosen(drive, tmp_path):
    folder = drive(cameras=("front", "back"), chunks=2)
    summary = yolo.export(
        Selection(recordings=(folder,), cameras=("back",), every=3), tmp_path / "out"
    )
    names = sorted(path.stem for path in (tmp_path / "out/labels/sim/train").iterdir())
    assert names == [f"drive_back_{number:08d}" for number in (1000, 1003, 1006)]
    assert summary.frames == 3
    with pytest.raises(ConfigError, match="cameras among front, back in drive, got left"):
        yolo.export(Selection(recordings=(folder,), cameras=("left",)), tmp_path / "two")


def test_recordings_of_one_name_are_told_apart(drive, tmp_path):
    one = drive("a/night", chunks=1, town="Town01")
    two = drive("b/night", chunks=1, town="Town02")
    summary = coco.export(Selection(recordings=(one, two)), tmp_path / "out")
    assert sorted(summary.drives) == ["a-night", "b-night"]
    with pytest.raises(ConfigError, match="each recording once"):
        coco.export(Selection(recordings=(one, one)), tmp_path / "twice")


@pytest.mark.parametrize("wrong", [{"recordings": ()}, {"every": 0}, {"variant": "night"}], ids=str)
def test_selections_of_nothing(tmp_path, wrong):
    with pytest.raises(ConfigError, match="expected"):
        Selection(**{"recordings": (tmp_path,), **wrong})


def test_a_full_disk_is_reported(drive, tmp_path, monkeypatch):
    from pathlib import Path

    folder, out = drive(chunks=2), tmp_path / "out"
    write = Path.write_bytes

    def full(self, data):
        if self.suffix == ".jpg":
            raise OSError(28, "No space left on device")
        return write(self, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(RecordingError, match="got No space left on device: free some"):
        coco.export(Selection(recordings=(folder,)), out)
    monkeypatch.undo()
    assert coco.export(Selection(recordings=(folder,)), out, options=RESUME).frames == 8
    shutil.rmtree(out)


def test_a_file_in_the_place_of_the_folder_is_one_sentence(drive, tmp_path):
    out = tmp_path / "out"
    out.write_text("precious")
    with pytest.raises(ConfigError, match="expected a folder for the export, got a file at"):
        coco.export(Selection(recordings=(drive("one", chunks=1),)), out)
    assert out.read_text() == "precious"
