"""The gallery's page from reports: its pictures are small, and its figures are the reports'."""

import json
import sys

import cv2
import gallery
import numpy as np
import pytest

from realmaster_live.recording.videos import Pictures, PictureWriter
from realmaster_live.training.evaluate.drives.figures import FIGURES
from realmaster_live.training.evaluate.drives.gallery import write_gallery
from realmaster_live.training.evaluate.drives.kept_looks import Look
from realmaster_live.training.evaluate.drives.looks import slug, write_looks
from realmaster_live.training.evaluate.drives.run import DriveFilms, Evaluation
from realmaster_live.training.evaluate.drives.shown import Shown
from realmaster_live.training.evaluate.drives.summary import Value
from realmaster_live.training.evaluate.weather.figures import Weather

HEIGHT, WIDTH = 64, 128
METHODS = ("render", "colour transfer", "realized")


def picture(number, red=60):
    found = np.full((HEIGHT, WIDTH, 3), (red, 120, 90), np.uint8)
    found[20:40, number % 100 : number % 100 + 20] = 250
    return found


def write_film(path, pictures, fps=20.0):
    path.parent.mkdir(parents=True, exist_ok=True)
    height, width = pictures[0].shape[:2]
    with PictureWriter(path, (width, height), fps, Pictures(crf=20)) as writer:
        for each in pictures:
            writer.write(each)


def evaluated(flicker):
    shown = Shown(fps=20.0)
    for number in range(100):
        shown.add("town", None, {name: picture(number, 40 * n) for n, name in enumerate(METHODS)})
    value = Value(
        value=flicker, interval=(0.5, 1.5), against=flicker - 1, against_interval=(-0.9, -0.1)
    )
    values = {name: {"flicker ratio": Value(value=1.0)} for name in METHODS}
    values["realized"] = {"flicker ratio": value, "edge F1": Value(value=0.9)}
    drive = DriveFilms(
        name="town 7", camera="front", fps=20.0, starts=np.zeros(100, bool),
        seconds=np.arange(100) / 20, films={},
    )  # fmt: skip
    return Evaluation(drives=(drive,), values=values), shown


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    tmp_path = tmp_path_factory.mktemp("reports")
    evaluation, shown = evaluated(0.75)
    write_gallery(tmp_path / "drive", evaluation, shown, title="drive")
    found = {}
    for number, name in enumerate(("A (trained on)", "B (unseen)", "GTA-V stand-in", "drawn now")):
        each, shown = evaluated(0.5 + number / 8)
        write_gallery(tmp_path / "looks" / slug(name), each, shown, title=name)
        found[name] = Look.of(each, shown)
    write_looks(tmp_path / "looks", found, FIGURES)
    one = Weather(
        recognised=0.9, truth=1.0, before=0.1, trust={"edges": 0.8, "depth_order": 0.7},
        loss={"edges": 0.05, "depth_order": 0.21, "lights": float("nan")}, seam=1.1, ordinary=1.2,
        mean=1.0, cut=9.0,
    ).facts()  # fmt: skip
    beyond = {"edges": {"value": 0.02, "interval": (0.0, 0.04)}}
    facts = {"frames": 100, "prompts": {"rain": one, "light snow": one}}
    facts["beyond_the_truth"] = {"rain": {"beyond": beyond}}
    (tmp_path / "weather").mkdir()
    (tmp_path / "weather" / "weather.json").write_text(json.dumps(facts))
    both = [np.concatenate([picture(n), picture(n, 200)], 1) for n in range(100)]
    for name in ("rain", "light-snow"):
        write_film(tmp_path / "weather" / "films" / f"{name}.mp4", both)
    rows = {
        "render": {"flicker": 1.0, "time": ""},
        "shipped: 2 steps, ring 1, guided": {"flicker": 0.98, "time": "1.00"},
        "plain decoder": {"flicker": 0.17699, "time": "0.93"},
    }
    for stem in ("shipped-2-steps-ring-1-guided", "plain-decoder"):
        write_film(tmp_path / "ablations" / "films" / f"{stem}.mp4", both)
    (tmp_path / "ablations" / "ablations.json").write_text(json.dumps(rows))
    return tmp_path


def made(monkeypatch, page, **given):
    flags = [word for name, folder in given.items() for word in (f"--{name}", str(folder))]
    monkeypatch.setattr(sys, "argv", ["gallery.py", "--page", str(page), *flags])
    gallery.main()
    return page.read_text()


def test_one_command_makes_the_page_of_all_reports(reports, monkeypatch, capsys):
    page = reports / "docs" / "gallery.md"
    page.parent.mkdir()
    marks = [f"<!-- gallery {name}: {end} -->" for name in gallery.SECTIONS
             for end in ("begin", "end")]  # fmt: skip
    page.write_text("# Gallery\n" + "\n".join(marks) + "\nThe end.\n")
    text = made(monkeypatch, page, **{name: reports / name for name in gallery.SECTIONS})
    assert text.endswith("The end.\n") and "town 7, 100 frames" in text
    assert "| flicker ratio, lower is better | 1 | 1 | **0.75** [0.5, 1.5] |" in text
    assert "| flicker ratio | 0.5 (1) | 0.625 (1) | 0.75 (1) | 0.875 (1) |" in text
    assert "| rain | 90 % | 10 % | 0.21 (depth order) | 0.02 (edges) | 1.10 | 1.20 |" in text
    assert "| light snow | 90 % | 10 % | 0.21 (depth order) |  | 1.10 | 1.20 |" in text
    assert "| plain decoder | 0.177 | 0.93 |" in text and "| variant | flicker | time |" in text
    pictures = sorted(path.name for path in (page.parent / "gallery").iterdir())
    for name in pictures:
        assert f"(gallery/{name})" in text
    assert pictures == [
        "ablations.jpg", "drive.avif", "drive.jpg", "looks.jpg", "weather.avif", "weather.jpg",
    ]  # fmt: skip
    done, shown = cv2.imreadanimation(str(page.parent / "gallery" / "drive.avif"))
    assert done and len(shown.frames) == 30 and set(shown.durations) == {100}
    assert "MB in" in capsys.readouterr().out
    # a section whose report is not given stays as it is
    assert made(monkeypatch, page, weather=reports / "weather") == text


def test_what_is_missing_or_too_large_is_one_sentence(reports, monkeypatch, tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# Gallery\n")
    with pytest.raises(SystemExit, match=r"expected a report's gallery\.json in .*, got none"):
        made(monkeypatch, page, drive=tmp_path / "none")
    with pytest.raises(SystemExit, match="add the two lines"):
        made(monkeypatch, page, ablations=reports / "ablations")
    monkeypatch.setattr(gallery, "SHEET_BYTES", 100)
    with pytest.raises(SystemExit, match="under 100 bytes, got more"):
        made(monkeypatch, page, drive=reports / "drive")
