"""Films of clips without labels, and films that are recordings, as a user measures them."""

import json

import numpy as np
import pytest
from driven_scene import SIZE, record_drive

from realmaster_live.cli import main
from realmaster_live.errors import ConfigError, PairError
from realmaster_live.recording import Recording
from realmaster_live.recording.videos import Pictures, PictureWriter
from realmaster_live.training.evaluate.drives.films import (
    RENDER,
    OtherFilm,
    open_film,
    other_films,
    video_pictures,
)
from realmaster_live.training.evaluate.drives.run import evaluate_drives
from realmaster_live.training.evaluate.drives.sources import Clip, RecordedDrive


def write_film(path, pictures, crf=10):
    size = pictures[0].shape[1], pictures[0].shape[0]
    with PictureWriter(path, size, 20.0, Pictures(crf=crf)) as writer:
        for picture in pictures:
            writer.write(picture)
    return path


@pytest.fixture(scope="module")
def drive(tmp_path_factory):
    return record_drive(tmp_path_factory.mktemp("drives") / "drive", chunks=4)


@pytest.fixture(scope="module")
def clips(drive, tmp_path_factory):
    """A render as a video, and the realized film of it."""
    folder = tmp_path_factory.mktemp("clips")
    with Recording(drive) as recording:
        pairs = list(recording.pairs())
    return tuple(
        write_film(folder / f"{name}.mp4", [pair[n] for pair in pairs])
        for n, name in enumerate(("render", "realized"))
    )


def test_a_clip_is_measured_as_its_drive_is_and_what_needs_labels_says_so(clips, drive, tmp_path):
    render, realized = clips
    out = tmp_path / "out"
    flags = ["--film", f"ours={realized}", "--chunk", "4", "--out", str(out)]
    assert main(["evaluate", "clip", str(render), *flags]) == 0
    facts = json.loads((out / "evaluation.json").read_text())
    assert list(facts["methods"]) == [RENDER, "colour transfer", "ours"]
    ours = {name: each["value"] for name, each in facts["methods"]["ours"].items()}
    recorded = evaluate_drives([RecordedDrive(drive)]).values["realized"]
    for name in ("flicker ratio", "edge F1", "seam ratio"):
        assert ours[name] == pytest.approx(recorded[name].value, rel=0.1), name
    assert "exact motion" in facts["skipped"] and "--labels" in facts["skipped"]["boxes"]
    found = evaluate_drives([Clip.open(render)])
    assert "--chunk" in found.skipped["seam ratio"] and found.methods == (RENDER,)


def test_a_film_that_is_a_recording_is_aligned_by_frame_number(drive, tmp_path):
    other = record_drive(tmp_path / "other", chunks=4, gaps={2: 2})  # frames 8 and 9 are not there
    film = OtherFilm(name="other", path=other)
    with Recording(other) as recording:
        numbers = {sample.frame_id for sample in recording.samples("front", streams=("real",))}
    source = RecordedDrive(drive)
    of = open_film(film, SIZE, len(source))
    given = {sample.frame_id for sample in source.samples() if of(sample) is not None}
    assert given == {sample.frame_id for sample in source.samples()} & numbers
    found = evaluate_drives([source], films=[film])
    assert any(key.endswith("frames of other") for key in found.skipped)
    assert np.isnan(found.drives[0].films["other"].columns["change"]).sum() > 1
    with pytest.raises(ConfigError, match="to have the drive's pictures of 80x48, got 160x96"):
        open_film(film, (80, 48), 16)


def test_films_of_one_method_with_several_seeds_are_one_row(drive, clips):
    films = other_films([f"ours#{n}={path}" for n, path in enumerate(clips)])
    found = evaluate_drives([RecordedDrive(drive)], films=films)
    assert found.methods[-1] == "ours" and set(found.drives[0].films) >= {"ours#0", "ours#1"}
    value = found.values["ours"]["edge F1"]
    assert value.films == 2 and value.spread > 0


def test_damage_in_a_film_is_named_by_its_frame(clips, tmp_path):
    content = bytearray(clips[0].read_bytes())
    middle = content.rindex(b"mdat") + 2000  # inside of the last fragment's pictures
    content[middle : middle + 400] = bytes(400)
    path = tmp_path / "damaged.mp4"
    path.write_bytes(content)
    with pytest.raises(PairError, match=r"expected 16 playable frames .* damage at frame \d+"):
        list(video_pictures(path))


def test_a_clip_that_is_none_is_one_sentence(drive, tmp_path, capsys):
    (tmp_path / "text.mp4").write_text("no film")
    for given, expected in (
        (str(drive), "realmaster evaluate recording"),
        (str(tmp_path / "text.mp4"), "expected a playable video"),
        (str(tmp_path / "none"), "got nothing there"),
    ):
        assert main(["evaluate", "clip", given, "--out", str(tmp_path / "o")]) != 0
        printed = capsys.readouterr().err
        assert expected in printed and printed.count("\n") == 1
