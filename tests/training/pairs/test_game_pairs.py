"""Recordings of the game become clips with licence and labels; the gate looks at their people."""

import json

import cv2
import numpy as np
import pytest
from game_samples import (
    mapped,
    town_drive,
    write_presil,
    write_sailvos,
    write_tiffs,
    write_viper,
    write_visionexport,
    write_vpilot,
)
from panned_scene import photoreal

from realmaster_live.cli import main
from realmaster_live.training.pairs.gate import GateConfig, make
from realmaster_live.training.pairs.manifest import read_clips
from realmaster_live.training.pairs.people import people_in
from realmaster_live.training.pairs.plan import PlanConfig, plan
from realmaster_live.training.pairs.recipe import FILE
from realmaster_live.training.pairs.sources import read_frames, read_label
from realmaster_live.training.pairs.stage import Job
from realmaster_live.training.pairs.videos import write_video

FRAMES = 13
RECIPE = '[plan]\nframes = 13\nfps = 10.0\nsize = "keep"\nimage_fps = 10.0\n'


@pytest.fixture(scope="module")
def truths(made_once):
    return town_drive(FRAMES, made_once)


@pytest.fixture(scope="module")
def footage(tmp_path_factory, truths):
    root = tmp_path_factory.mktemp("games")
    write_presil(root / "object", truths)
    write_visionexport(root / "vision", truths)
    (root / "vision" / "about.json").write_text('{"fps": 10, "town": "Los Santos"}')
    write_tiffs(root / "taken", truths, one_file=False)
    write_sailvos(root / "sailvos" / "ah_3a_ext", truths)
    write_viper(root / "viper", truths)
    (root / "viper" / "about.json").write_text('{"fps": 10, "weather": "snow"}')
    write_vpilot(root / "vpilot" / "dataset.pz", [truth.image for truth in truths])
    (root / "vpilot" / "dataset.json").write_text('{"size": [192, 112]}')
    return root


@pytest.fixture(scope="module")
def clips(footage, tmp_path_factory):
    """Layout and drive -> its clip; one data set a folder, since all show the same."""
    found = {}
    for folder in footage.iterdir():
        dataset = tmp_path_factory.mktemp("set")
        (dataset / FILE).write_text(RECIPE)
        assert main(["pairs", "plan", str(dataset), str(folder)]) == 0
        (clip,) = read_clips(dataset)
        found[f"{clip.kind}/{clip.route}"] = clip
    return found


def test_the_manifest_holds_licence_labels_and_where_a_clip_is_from(clips, truths):
    assert {name: clip.labels for name, clip in clips.items()} == {
        "presil/object": ("depth", "semantic"),
        "visionexport/vision": ("depth", "semantic"),
        "visionexport/taken": ("depth", "semantic"),
        "sailvos/ah_3a_ext": ("depth",),
        "viper/viper-001": ("semantic", "instance"),
        "vpilot/dataset": (),
    }
    assert all("Rockstar Games' terms" in clip.licence for clip in clips.values())
    assert clips["sailvos/ah_3a_ext"].licence.startswith("SAIL-VOS 3D: non-commercial use only")
    assert clips["viper/viper-001"].licence.startswith("VIPER: research and education only")
    assert clips["visionexport/vision"].town == "Los Santos"
    assert clips["viper/viper-001"].weather == "snow"
    assert all((clip.fps, clip.frames) == (10.0, FRAMES) for clip in clips.values())


def test_frames_and_labels_are_those_of_the_drive(clips, truths):
    for name in ("presil/object", "sailvos/ah_3a_ext", "vpilot/dataset"):
        np.testing.assert_array_equal(read_frames(clips[name]), [t.image for t in truths])
    depth = read_label(clips["presil/object"], "depth")
    np.testing.assert_allclose(depth, [t.depth for t in truths], rtol=2e-4)
    people = people_in(read_label(clips["presil/object"], "semantic"))
    np.testing.assert_array_equal(people, [mapped(t.semantic, {12: 1, 13: 1}) for t in truths])
    assert people.sum((1, 2)).min() > 60
    assert read_label(clips["viper/viper-001"], "instance").dtype == np.int32


def test_gaps_end_clips(truths, tmp_path):
    folder = write_presil(tmp_path / "object", truths)
    for name in folder.glob("*/000006.*"):
        name.unlink()
    report = plan(tmp_path / "set", PlanConfig(frames=5, fps=16.0, size="keep"), [folder])
    assert [clip.first for clip in report.clips] == [0, 6]
    assert any(entry.reason == "a gap of 1 frames at 6" for entry in report.left_out)


def test_a_mixed_folder_and_a_damaged_frame_are_left_out_with_reasons(truths, tmp_path):
    write_presil(tmp_path / "games" / "mixed", truths[:5])
    write_visionexport(tmp_path / "games" / "mixed", truths[:5])
    good = write_presil(tmp_path / "good", truths)
    (good / "image_2" / "000002.png").write_bytes(b"none")
    small = PlanConfig(frames=5, fps=16.0, size="keep")
    report = plan(tmp_path / "set", small, [tmp_path / "games", good])
    text = "\n".join(report.lines())
    assert "those of presil and visionexport: move one of them to a folder of its own" in text
    assert "expected a picture in" in text
    assert [clip.first for clip in report.clips] == [5]


def without_people(made, people):
    reach = np.ones((5, 5), np.uint8)
    masks = [cv2.dilate(mask.astype(np.uint8), reach) for mask in people]
    return np.stack(
        [cv2.inpaint(x, m, 3, cv2.INPAINT_TELEA) for x, m in zip(made, masks, strict=True)]
    )


@pytest.mark.parametrize("name", ["presil/object", "viper/viper-001", "visionexport/taken"])
def test_the_gate_rejects_a_clip_whose_people_are_gone(clips, tmp_path, name):
    clip = clips[name]
    source = read_frames(clip)
    made = photoreal(source)[..., ::-1]
    gone = without_people(made, people_in(read_label(clip, "semantic")))
    stage = make(GateConfig(least_person_px=60), tmp_path)
    verdicts = []
    for pixels in (made, gone):
        write_video(tmp_path / "made.mp4", np.ascontiguousarray(pixels), 10)
        stage.run(Job(clip=clip, inputs={"propagate": tmp_path / "made.mp4"}), tmp_path / "v.json")
        verdicts.append(json.loads((tmp_path / "v.json").read_text()))
    kept, lost = verdicts
    assert kept["passed"], kept["reasons"]
    assert kept["metrics"]["person_likeness"] > 0.8
    assert lost["failed"] == ["min_person_likeness"], "nothing else sees it: they are few pixels"
    assert "people are missing, or are somebody else" in lost["reasons"][0]
    small = make(GateConfig(), tmp_path)
    write_video(tmp_path / "made.mp4", np.ascontiguousarray(gone), 10)
    small.run(Job(clip=clip, inputs={"propagate": tmp_path / "made.mp4"}), tmp_path / "v.json")
    assert "person_likeness" not in json.loads((tmp_path / "v.json").read_text())["metrics"]


def test_a_clip_without_labels_is_not_asked_for_people(clips, tmp_path):
    clip = clips["vpilot/dataset"]
    write_video(tmp_path / "made.mp4", photoreal(read_frames(clip)), 10)
    stage = make(GateConfig(least_person_px=1), tmp_path)
    stage.run(Job(clip=clip, inputs={"propagate": tmp_path / "made.mp4"}), tmp_path / "v.json")
    assert "person_likeness" not in json.loads((tmp_path / "v.json").read_text())["metrics"]
