import re

import numpy as np
import pytest

from realmaster_live import ChunkSpec, SourceInfo
from realmaster_live.demo.contact_sheet import GAP, contact_sheet
from realmaster_live.demo.report import Report, latency_plot, render, write_report
from realmaster_live.errors import RecordingError
from realmaster_live.live.stats import Latency, Stats
from realmaster_live.recording import About, Meta

GREY = np.full((36, 64, 3), 128, np.uint8)


@pytest.fixture
def report():
    latency = Latency(p50=41.5, p95=60.25, p99=77.0, count=100)
    return Report(
        title="A <drive>",
        meta=Meta(
            about=About(
                engine="embedded",
                engine_sha256="ab12",
                source=SourceInfo.of({"map": "Town<7>"}),
                seed=7,
            ),
            spec=ChunkSpec(frames=4, height=36, width=64, fps=20),
            cameras={},
            created="2026-01-01T00:00:00+00:00",
        ),
        stats=Stats(
            captured=104,
            realized=100,
            lost_frames=3,
            dropped_frames=4,
            wall_s=8.0,
            latency_ms={"engine": latency, "end_to_end": latency},
        ),
        ages_ms=[40.0, 55.0, 43.0, 90.0],
        pair=(GREY, GREY),
        sheet=GREY,
    )


def test_the_page_states_what_happened_and_loads_nothing(report):
    page = render(report)
    for figure in ("12.5", "100", "41.5", "60.2", "77.0", "ab12", "64×36"):
        assert figure in page
    assert "A &lt;drive&gt;" in page
    assert "Town&lt;7&gt;" in page
    assert "Town<7>" not in page
    assert not re.search(r"(src|href)=\"(?!data:)", page)
    assert page.count("data:image/jpeg;base64,") == 3


def test_the_plot_has_one_point_a_frame_within_its_frame():
    plot = latency_plot([40.0, 55.0, 43.0, 1900.0])
    points = re.search(r'points="([^"]+)"', plot)[1].split()
    assert len(points) == 4
    across, up = zip(*(map(float, point.split(",")) for point in points), strict=True)
    assert list(across) == sorted(across)
    assert min(up) >= 0
    assert max(up) <= float(re.search(r'viewBox="0 0 \d+ (\d+)"', plot)[1])
    assert "p50 49 ms" in plot and "p95 1623 ms" in plot
    assert ">1900<" in plot
    assert "No frame" in latency_plot([])


def test_an_unwritable_page_is_a_recording_error(report, tmp_path):
    with pytest.raises(RecordingError, match=r"none/report\.html"):
        write_report(tmp_path / "none" / "report.html", report)


def test_the_sheet_holds_every_picture_in_its_place():
    shades = [[np.full((30, 50, 3), 10 * (3 * row + col), np.uint8) for col in range(3)]
              for row in range(2)]  # fmt: skip
    sheet = contact_sheet(shades, columns=("a", "b", "c"), captions=("0 s", "1 s"))
    height, width = sheet.shape[:2]
    right, bottom = width - 24, height - 24
    for row in range(2):
        for col in range(3):
            y = bottom - (2 - row) * (30 + GAP) + GAP
            x = right - (3 - col) * (50 + GAP) + GAP
            assert (sheet[y : y + 30, x : x + 50] == shades[row][col]).all()
    with pytest.raises(ValueError, match="record something"):
        contact_sheet([], columns=(), captions=())
