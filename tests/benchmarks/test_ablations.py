"""Ablations of a tiny exported model: each variant is what it says, and the page gets a table."""

import json
import sys

import ablations
import numpy as np
import pytest
from driven_scene import SIZE, record_drive

from realmaster_live.engines.load import load_engine
from realmaster_live.engines.manifest import MANIFEST
from realmaster_live.training.evaluate.pictures import realize_frames


@pytest.fixture(scope="module")
def drive(tmp_path_factory):
    return record_drive(tmp_path_factory.mktemp("drives") / "drive", chunks=3)


def realized(export, variant, folder, frames):
    with ablations.ExitStack() as stack:
        engine = ablations.opened(variant, export, folder, stack, width=SIZE[0], height=SIZE[1])
        return realize_frames(engine, frames)


def test_variants_change_what_they_name(tiny_model, tmp_path):
    manifest = json.loads((tiny_model / MANIFEST).read_text())
    every = {each.name: each for each in ablations.variants(manifest)}
    assert len(every) >= 12
    frames = np.random.default_rng(0).integers(0, 256, (12, SIZE[1], SIZE[0], 3), np.uint8)
    shipped, *others = every.values()
    first = realized(tiny_model, shipped, tmp_path, frames)
    with load_engine(str(tiny_model), width=SIZE[0], height=SIZE[1]) as engine:
        np.testing.assert_array_equal(realize_frames(engine, frames), first)
    same = {"reference recomputed every pass"}
    for each in others:
        if each.name == "one frame a chunk" or "steadied" in each.name:
            continue  # these change how an engine is driven, and need labels
        made = realized(tiny_model, each, tmp_path, frames)
        assert np.array_equal(made, first) == (each.name in same), each.name
        if each.name in ("ring 0", "each chunk alone"):
            np.testing.assert_array_equal(made[:4], first[:4], "the first chunk has no past")
    levels = json.loads((tmp_path / "8-steps" / MANIFEST).read_text())["sigmas"]["8"]
    assert len(levels) == 9 and levels[0] == 1 and levels[-1] == 0


@pytest.mark.slow
def test_the_command_writes_the_table_between_the_marks(tiny_model, drive, tmp_path, monkeypatch):
    page = tmp_path / "page.md"
    page.write_text("above\n<!-- ablations: begin -->\nold\n<!-- ablations: end -->\nbelow\n")
    out = tmp_path / "out"
    given = [str(drive), "--out", str(out), "--engine", str(tiny_model), "--docs", str(page)]
    monkeypatch.setattr(sys, "argv", ["ablations", *given, "--only", "1 step", "steadied"])
    ablations.main()
    text = page.read_text()
    assert text.startswith("above\n") and text.endswith("below\n") and "old" not in text
    rows = [line.split(" | ")[0] for line in text.splitlines() if line.startswith("| ")]
    assert rows[1:] == [
        "| render",
        *(f"| {n}" for n in json.loads((out / "spent.json").read_text())),
    ]
    kept = (out / "films" / "1-step.mp4").stat().st_mtime_ns
    ablations.main()
    assert (out / "films" / "1-step.mp4").stat().st_mtime_ns == kept
    page.write_text("no marks")
    with pytest.raises(SystemExit, match="add the two lines"):
        ablations.main()
