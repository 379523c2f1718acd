"""Recordings of the game are found, replayed and planned like any other footage."""

import json

import cv2
import numpy as np
import pytest
from game_samples import (
    FPS,
    HEIGHT,
    WIDTH,
    town_drive,
    write_presil,
    write_sailvos,
    write_tiffs,
    write_viper,
    write_visionexport,
    write_vpilot,
)

from realmaster_live.bridges.gtav import readers as gtav_readers
from realmaster_live.cli import main
from realmaster_live.errors import ConfigError, PairError, RecordingError
from realmaster_live.recording import Recording
from realmaster_live.replay.footage import Reading
from realmaster_live.replay.game_source import LAYOUTS
from realmaster_live.replay.job import Realizing, piece_of
from realmaster_live.replay.kinds import find_footage, open_footage


@pytest.fixture(scope="module")
def truths(made_once):
    return town_drive(9, made_once)


@pytest.fixture(scope="module")
def roots(tmp_path_factory, truths):
    """One folder a layout."""
    root = tmp_path_factory.mktemp("games")
    for series in ("0000", "0003"):
        write_presil(root / "presil" / "tracking", truths, series=series)
    write_visionexport(root / "visionexport", truths)
    write_tiffs(root / "tiffs", truths, one_file=False)
    for scene in ("ah_3a_ext", "fam_6_mcs_1"):
        write_sailvos(root / "sailvos" / scene, truths)
    for sequence in ("001", "002"):
        write_viper(root / "viper" / "train", truths, sequence=sequence)
    write_vpilot(root / "vpilot" / "dataset.pz", [truth.image for truth in truths])
    (root / "vpilot" / "dataset.json").write_text(json.dumps({"size": [WIDTH, HEIGHT]}))
    return root


FOUND = {
    "presil": (["tracking-0000", "tracking-0003"], ("depth", "semantic"), 25.0),
    "visionexport": (["visionexport"], ("depth", "semantic"), 20.0),
    "tiffs": (["tiffs"], ("depth", "semantic"), 8.0),
    "sailvos": (["ah_3a_ext", "fam_6_mcs_1"], ("depth",), 8.0),
    "viper": (["train-001", "train-002"], ("semantic", "instance"), 15.0),
    "vpilot": (["dataset"], (), 10.0),
}


def test_every_layout_is_tried():
    assert set(FOUND) - {"tiffs"} == set(LAYOUTS) == set(gtav_readers.LAYOUTS)


@pytest.mark.parametrize("name", FOUND)
def test_a_folder_is_found_and_played(roots, truths, name):
    names, labels, fps = FOUND[name]
    reading = Reading(fps=8.0 if fps == 8.0 else None)
    found = find_footage(str(roots / name), reading)
    assert [footage.name for footage in found] == names
    for footage in found:
        assert (footage.fps, footage.frames) == (fps, len(truths))
        assert "Rockstar" in footage.origin["licence"]
        frames = list(open_footage(footage, reading).frames())
        assert [frame.timestamp for frame in frames] == pytest.approx(np.arange(9) / fps)
        assert tuple(frames[0].labels) == labels
        assert frames[3].image.shape == (HEIGHT, WIDTH, 3)


def test_labels_are_chosen(roots):
    reading = Reading(labels=("semantic",))
    (footage, _) = find_footage(str(roots / "viper"), reading)
    assert set(next(open_footage(footage, reading).frames()).labels) == {"semantic"}


def test_replay_makes_recordings(roots, truths, tmp_path):
    flags = ["--engine", "identity", "--size", "192x96", "--lossless", "--quiet", "--out"]
    assert main(["replay", str(roots / "presil"), *flags, str(tmp_path / "all")]) == 0
    with Recording(tmp_path / "all" / "tracking-0003") as recording:
        assert recording.meta.about.licence.startswith("GTA-V footage: non-commercial")
        assert recording.meta.about.source.simulator == "gtav"
        frames = list(recording.frames())
    assert len(frames) == 8  # two chunks of four
    for frame, truth in zip(frames, truths, strict=False):
        np.testing.assert_allclose(frame.cam_to_world, truth.pose, atol=2e-6)
        near = truth.depth[1::7, 1::7] < 100
        assert near.sum() > 100
    assert set(frames[0].labels) == {"depth", "semantic"}
    out = tmp_path / "weather"
    assert main(["replay", str(roots / "visionexport"), *flags, str(out)]) == 0
    with Recording(out) as recording:
        assert recording.meta.about.weather == "Clear"


def test_a_sidecar_takes_precedence_over_a_recording(truths, tmp_path):
    folder = write_visionexport(tmp_path / "shots", truths[:4])
    facts = {"fps": 5, "licence": "mine", "vfov_deg": 40.0, "town": "Los Santos"}
    (folder / "about.json").write_text(json.dumps(facts))
    (footage,) = find_footage(str(folder), Reading())
    assert (footage.fps, footage.origin["licence"], footage.origin["town"]) == (
        5,
        "mine",
        "Los Santos",
    )
    frame = next(open_footage(footage, Reading()).frames())
    focal = HEIGHT / 2 / np.tan(np.radians(20))
    assert frame.intrinsics[0, 0] == frame.intrinsics[1, 1] == pytest.approx(focal)
    for key, value in (("fps", 0), ("near_m", "x"), ("size", [1])):
        (folder / "about.json").write_text(json.dumps({key: value}))
        with pytest.raises(PairError, match=f"for {key} of .*mend its JSON"):
            find_footage(str(folder), Reading())


def test_no_rate_is_guessed(roots):
    for name in ("tiffs", "sailvos"):
        with pytest.raises(ConfigError, match=r"expected the frames a second of .*give --fps"):
            find_footage(str(roots / name), Reading())


def test_the_size_of_a_data_set_may_be_given(truths, tmp_path):
    path = write_vpilot(tmp_path / "odd.pz", [truth.image[:, :191] for truth in truths])
    with pytest.raises(PairError, match="64512 bytes a frame, no usual size"):
        find_footage(str(path), Reading())
    (footage,) = find_footage(str(path), Reading(size=(191, HEIGHT)))
    assert footage.cameras == {"front": (191, HEIGHT)}
    for size, result in (((191, HEIGHT), (192, 96)), (None, (192, 96)), ((256, 128), (256, 128))):
        realizing = Realizing(engine="embedded")
        piece = piece_of(footage, tmp_path / "out", Reading(size=size), realizing)
        assert piece.sizes == {"front": result}  # a multiple of the model's 32


def test_the_size_of_the_result_is_not_taken_for_a_data_sets(roots):
    (footage,) = find_footage(str(roots / "vpilot" / "dataset.pz"), Reading(size=(512, 288)))
    assert footage.cameras == {"front": (WIDTH, HEIGHT)}


def test_an_unknown_or_mixed_folder_says_what_was_looked_for(truths, tmp_path):
    (tmp_path / "plain" / "deep").mkdir(parents=True)
    (tmp_path / "plain" / "notes.txt").write_text("nothing")
    with pytest.raises(RecordingError, match=r"image_2 beside depth or stencil .PreSIL., .*\.pz"):
        find_footage(str(tmp_path / "plain"), Reading())
    write_presil(tmp_path / "mixed", truths[:2])
    write_visionexport(tmp_path / "mixed", truths[:2])
    with pytest.raises(PairError, match=r"expected recordings of one layout in .*mixed, got"):
        find_footage(str(tmp_path / "mixed"), Reading())


def test_plain_pictures_stay_pictures(truths, tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for index, truth in enumerate(truths):
        cv2.imwrite(str(folder / f"{index}.png"), truth.image)
    write_presil(folder / "below", truths[:2])
    (footage,) = find_footage(str(folder), Reading(fps=FPS))
    assert footage.kind == "pictures"
