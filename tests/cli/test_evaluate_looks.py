"""Other simulators by one command, and the look that is drawn at random."""

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from realmaster_live.cli import main
from realmaster_live.cli.evaluate_looks import EvaluateLooks, _frames
from realmaster_live.minitown.raster.look import LOOK_A, draw_look
from realmaster_live.training.evaluate.drives.figures import FIGURES
from realmaster_live.training.evaluate.drives.kept_looks import Look, read_look
from realmaster_live.training.evaluate.drives.motion import frame_motion
from realmaster_live.training.evaluate.drives.run import Evaluation
from realmaster_live.training.evaluate.drives.shown import Shown
from realmaster_live.training.evaluate.drives.summary import Value
from realmaster_live.training.evaluate.drives.track import changes


def test_a_drawn_look_is_its_seeds_and_keeps_greys_grey():
    look = draw_look(3)
    assert look == draw_look(3) != draw_look(4) and look.name == "drawn-3"
    for row in look.palette:
        assert sum(row) == pytest.approx(0.9) and min(row) >= 0
    assert 0.3 < look.exposure < 3 and look.draw_distance == LOOK_A.draw_distance


@pytest.mark.slow
def test_the_same_towns_in_four_looks_make_one_table(tmp_path, capsys):
    flags = ["--seeds", "1000", "--frames", "16", "--size", "256x128"]
    assert main(["evaluate", "looks", "identity", *flags, "--out", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert printed.count("1.000") >= 4, "what does nothing flickers as its render does"
    looks = json.loads((tmp_path / "looks.json").read_text())
    assert list(looks) == ["A (trained on)", "B (unseen)", "GTA-V stand-in", "drawn now"]
    for name, facts in looks.items():
        realized = facts["methods"]["realized"]
        assert realized["flicker ratio"]["value"] == pytest.approx(1), name
        assert realized["mIoU"]["value"] == facts["methods"]["render"]["mIoU"]["value"]
        assert ("vanished things" in realized) == (name != "GTA-V stand-in"), name
    page = (tmp_path / "report.html").read_text()
    assert page.count("<video") == 4 and (tmp_path / "drawn.html").exists()
    # what was measured is not measured again, and other frames are
    (tmp_path / "report.html").unlink()
    times = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*/film.mp4")}
    assert len(times) == 4
    assert main(["evaluate", "looks", "identity", *flags, "--out", str(tmp_path)]) == 0
    assert capsys.readouterr().out == printed
    assert (tmp_path / "report.html").read_text() == page
    assert {path: path.stat().st_mtime_ns for path in times} == times


def test_a_kept_look_is_its_evaluation_and_of_its_own_options_alone(tmp_path):
    values = {"realized": {"edge F1": Value(value=0.9, interval=(0.8, 1.0), films=2, spread=0.1)}}
    values["render"] = {"flicker ratio": Value(value=1.0)}
    shown = Shown(fps=20.0)
    for level in range(4):
        picture = np.full((16, 32, 3), 60 * level, np.uint8)
        shown.add("town", None, {"render": picture, "realized": picture})
    kept = Look.of(Evaluation(drives=(), values=values), shown)
    key = {"seeds": "1000", "size": (192, 112)}
    kept.save(tmp_path, key)
    found = read_look(tmp_path, key)
    assert found == Look(facts=json.loads(json.dumps(kept.facts)), shown=kept.shown)
    edges, flicker = (next(f for f in FIGURES if f.name == n) for n in ("edge F1", "flicker ratio"))
    assert found.value("realized", edges) == values["realized"]["edge F1"]
    assert np.isnan(found.value("render", flicker).interval).all()
    assert found.value("realized", flicker) is None
    assert read_look(tmp_path, key | {"seeds": "1001"}) is None
    assert read_look(tmp_path / "none", key) is None


@pytest.mark.parametrize("look", ["A (trained on)", "GTA-V stand-in"])
def test_frames_say_how_their_camera_moved(look):
    options = EvaluateLooks(out=Path("none"), frames=3, size=(192, 112))
    frames = list(_frames(look, 1000, options, 5.0))
    assert not np.allclose(frames[0].cam_to_world, frames[2].cam_to_world)
    samples = [SimpleNamespace(frame=frame, image=frame.image) for frame in frames]
    motion = frame_motion(samples[2], samples[1])
    assert motion.valid.mean() > 0.5
    found = changes(frames[1].image, frames[2].image, motion)
    assert found["warp"] < 0.95 * found["change"], "what moves is all that is left"
