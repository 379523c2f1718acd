"""Statistics of recordings against the truth of a drawn drive."""

import re
from collections import Counter

import numpy as np
import pytest
from driven_scene import EGO_SPEED, FPS

from realmaster_live import Recording
from realmaster_live.cli import main
from realmaster_live.datasets.statistics import NOT_JUDGED, statistics_of
from realmaster_live.datasets.statistics_page import lines_of, page_of
from realmaster_live.errors import ConfigError, RecordingError


def counts(statistics):
    return {one.title: one.counts for one in statistics.distributions}


def test_they_are_what_the_frames_hold(drive):
    folder = drive(cameras=("front", "back"), low={}, weather="HardRain")
    found = statistics_of([folder])
    with Recording(folder) as recording:
        seen = [one for sample in recording[:] for one in sample.annotations if one.pixels]
    assert (found.frames, found.ticks) == (16, 8)
    assert found.seconds == pytest.approx(8 / FPS)
    assert found.objects == len(seen)
    titles = counts(found)
    assert sum(titles["Classes in view"].values()) == len(seen)
    heights = np.array([one.visible[3] - one.visible[1] for one in seen])
    assert titles["Height of the visible box"]["16-32"] == ((heights >= 16) & (heights < 32)).sum()
    far = Counter(int(one.distance_m // 10) for one in seen if one.distance_m < 40)
    assert [titles["Distance"][f"{k * 10}-{k * 10 + 10}"] for k in range(4)] == [
        far[k] for k in range(4)
    ]
    assert titles["Weather"] == {"HardRain": 16} and titles["Town"] == {"Town01": 16}
    (fast,) = (name for name, count in titles["Speed of the vehicle"].items() if count)
    low, high = map(float, fast.split("-"))
    assert low <= EGO_SPEED + 0.01 and high >= EGO_SPEED - 0.01


def test_trust_is_counted_where_it_was_judged(drive):
    judged = counts(statistics_of([drive("judged", low=111)]))
    assert judged["Trust of frames"]["0.9-1"] == 8 and NOT_JUDGED not in judged["Trust of frames"]
    assert judged["Trust of objects"]["0.1-0.2"] == 8
    assert judged["What the gate decided"] == {"passed": 8}
    both = counts(statistics_of([drive("plain"), drive("judged-too", low=111)]))
    assert both["Trust of frames"][NOT_JUDGED] == 8


def test_the_command_prints_and_writes_one_page(drive, tmp_path, capsys):
    folder, out = drive(low=111), tmp_path / "stats.html"
    assert main(["dataset", "stats", str(folder), "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert re.search(r"^  car +\d+ +\d+\.\d% +#+$", said, re.M)
    page = out.read_text()
    found = statistics_of([folder])
    assert page == page_of(found) and page.count("<svg") == len(found.distributions)
    assert not re.search(r'(src|href)="', page), "needs nothing else"
    cars = counts(found)["Classes in view"]["car"]
    assert f"<title>car: {cars:,}</title>" in page


def test_a_damaged_segment_is_named_and_left_out(drive, capsys):
    folder = drive(chunks=3, segment_s=4 / FPS)
    table = folder / "segments/000001/objects.parquet"
    table.write_bytes(b"nothing")
    found = statistics_of([folder])
    assert found.frames == 8 and str(table) in next(iter(found.damaged.values()))
    assert any(str(table) in line for line in lines_of(found))
    assert main(["dataset", "stats", str(folder)]) == 1
    for number in range(3):
        (folder / f"segments/00000{number}/frames.parquet").write_bytes(b"nothing")
    with pytest.raises(RecordingError, match=r"expected frames in .* got none"):
        statistics_of([folder])


def test_bad_input_is_one_sentence(drive, tmp_path, capsys):
    with pytest.raises(ConfigError, match="expected cameras among front"):
        statistics_of([drive()], ["left"])
    assert main(["dataset", "stats", str(tmp_path)]) == 1
    assert main(["dataset", "stats", str(drive("other")), "--out", "/proc/none/a.html"]) == 1
    assert all(line.count("expected") == 1 for line in capsys.readouterr().err.splitlines())
