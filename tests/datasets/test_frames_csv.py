"""frames.csv: what every format tells of each of its pictures."""

import csv

import pytest

from realmaster_live.datasets import Selection
from realmaster_live.datasets.folder import ExportOptions
from realmaster_live.datasets.formats import FORMATS
from realmaster_live.errors import MissingDependency, RecordingError


def exported(name, selection, out, **options):
    try:
        return FORMATS[name].load().export(selection, out, options=ExportOptions(**options))
    except MissingDependency as error:
        pytest.skip(str(error))


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_tells_the_facts_of_every_picture(drive, tmp_path, name):
    about = {"licence": "CC-BY-4.0", "route": "loop", "weather": "wet"}
    selection = Selection(recordings=(drive(chunks=1, low=111, **about),), variant="paired")
    exported(name, selection, tmp_path / "out")
    with (tmp_path / "out/frames.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    several = {"lerobot": 2, "culane": 2}.get(name, 1)  # render and realized have a name each
    assert len(rows) == len({row["name"] for row in rows}) == 4 * several
    assert sorted({row["frame_id"] for row in rows}) == ["1000", "1001", "1002", "1003"]
    known = {"town": "Town01", **about, "prompt": "a street at noon", "trust": "0.9"}
    for row in rows:
        assert {key: row[key] for key in known} == known


def test_what_an_earlier_run_noted_is_kept_and_not_taken_for_empty(drive, tmp_path):
    one, two, out = drive("one", chunks=1), drive("two", chunks=1), tmp_path / "out"
    exported("yolo", Selection(recordings=(one,)), out)
    exported("yolo", Selection(recordings=(one, two)), out, resume=True)
    assert (out / "frames.csv").read_text().count("\n") == 9
    (out / ".parts/one.frames").write_text("[")
    with pytest.raises(RecordingError, match=r"what an earlier run noted in .*one\.frames"):
        exported("yolo", Selection(recordings=(one, two)), out, resume=True)
