"""What the weather itself hides: losses of realized pictures beyond those of the truth."""

import json

import numpy as np
import pytest
from driven_scene import SIZE, look
from prompted_dimmer import DARK, Dimmer, displaced

from realmaster_live.cli import main
from realmaster_live.errors import PairError
from realmaster_live.frames.chunk import ChunkSpec
from realmaster_live.training.evaluate.weather import figures
from realmaster_live.training.evaluate.weather.truth import hidden, measure_hidden, read_pairs

SPEC = ChunkSpec(frames=4, width=SIZE[0], height=SIZE[1], fps=20.0)
NIGHT = ["night"]
SCORES = ("edges", "depth_order", "semantics", "boxes", "lights")


def write_clip(folder, seed, prompt, truth):
    """A clip of four frames whose last one has a truth, as `pairs render --truth-every 4` does."""
    seen = [look("front", (seed % 100 + frame) / 20, SIZE) for frame in range(4)]
    sim = np.stack([picture for _, picture, _ in seen])
    labels = {name: np.stack([each[name] for _, _, each in seen]) for name in seen[0][2]}
    labels["instance"] &= 0xFFFF  # pairs hold the number alone
    name = f"town{seed}-0" + ("" if prompt == "as simulated" else f"-{prompt}")
    np.save(folder / f"{name}.sim.npy", sim)
    np.save(folder / f"{name}.truth.npy", truth(sim[3:]))
    np.savez(folder / f"{name}.labels.npz", **labels)
    facts = {"seed": seed, "frames": 4, "truth_frames": [3], "prompt": prompt}
    (folder / f"{name}.json").write_text(json.dumps(facts))


def write_pairs(folder, truth, seeds=range(900, 908)):
    """Drives as simulated, and the same under night, whose truth `truth` makes of the render."""
    for seed in seeds:
        write_clip(folder, seed, "as simulated", lambda sim: sim)
        write_clip(folder, seed, "night", truth)
    return folder


def measured(folder, *, wrong):
    return measure_hidden(Dimmer(SPEC, wrong), read_pairs([folder]), NIGHT, None)["night"]


def darker(sim):
    return (sim * DARK["night"]).astype(np.uint8)


def loss_bar(found, drive):
    [bar] = [
        bar for bar in figures.bars({"night": drive}, {"night": found}, 0.1) if "loss" in bar.name
    ]
    return bar


@pytest.fixture
def drive():
    """The figures of a drive that lost half of its edges."""
    return figures.Weather(
        recognised=1.0, truth=1.0, before=0.0, trust={}, loss={"edges": 0.5}, seam=1.0,
        ordinary=1.0, mean=1.0, cut=1.0,
    )  # fmt: skip


def test_what_the_truth_keeps_is_a_fault_and_what_it_loses_too_is_not(tmp_path, drive):
    kept, lost = (tmp_path / name for name in ("kept", "lost"))
    for folder, truth in ((kept, darker), (lost, lambda sim: displaced(darker(sim)))):
        folder.mkdir()
        write_pairs(folder, truth)
    fault, none = measured(kept, wrong=True), measured(lost, wrong=True)
    assert fault.clips == none.clips == 8
    assert fault.realized == none.realized and fault.realized["edges"] > 0.1
    assert abs(fault.truth["edges"]) < 0.1 < none.truth["edges"]
    assert fault.beyond["edges"].value == pytest.approx(fault.realized["edges"], abs=0.05)
    assert none.beyond["edges"].value == pytest.approx(0.0, abs=0.01)
    assert loss_bar(fault, drive).verdict == "missed"
    assert loss_bar(none, drive).verdict == "passed", "the truth loses as much"
    good = measured(kept, wrong=False)
    assert loss_bar(good, drive).verdict == "passed"
    row = figures.hidden_table({"night": none})[-1]
    assert f"{-none.realized['edges']:+.2f} (truth {-none.truth['edges']:+.2f})" in row


def scores(edges):
    return dict.fromkeys(SCORES, float("nan")) | {"edges": edges}


def test_losses_are_those_computed_by_hand():
    rows = [(scores(0.8), scores(0.9), scores(0.7), scores(0.6))] * 6
    found = hidden(rows)
    assert found.truth == {"edges": pytest.approx(0.1)}
    assert found.realized == {"edges": pytest.approx(0.3)}
    assert found.beyond["edges"].value == pytest.approx(0.2)
    assert found.beyond["edges"].interval == pytest.approx((0.2, 0.2))
    gaining = [(scores(0.8), scores(0.9), scores(0.95), scores(0.85))] * 6
    assert hidden(gaining).beyond["edges"].value == pytest.approx(0.05), "a gain is no excuse"
    few = hidden(rows[:5])
    assert not few.beyond, "five clips say too little"
    assert figures.hidden_table({"night": few})[-1] == "| night |  |"


def test_a_score_that_no_truth_says_is_held_to_the_bar_as_it_is(drive):
    bar = loss_bar(hidden([(scores(0.8),) * 4] * 5), drive)
    assert bar.value == 0.5 and bar.verdict == "missed" and "is not known" in bar.note


@pytest.mark.parametrize("seeds", [(10,), (900,)])
def test_clips_that_cannot_tell_are_refused(tmp_path, seeds):
    """Towns that models are trained on, and drives that have no clip as simulated."""
    write_pairs(tmp_path, darker, seeds)
    if seeds == (900,):
        (tmp_path / "town900-0.json").unlink()
    with pytest.raises(PairError, match="same drives as simulated and under a prompt"):
        read_pairs([tmp_path])


def test_clips_of_another_size_are_named(tmp_path):
    write_pairs(tmp_path, darker, (900,))
    spec = ChunkSpec(frames=4, width=64, height=32, fps=20.0)
    with pytest.raises(PairError, match=r"town900-0.json in the drive's size 64x32, got a render"):
        measure_hidden(Dimmer(spec), read_pairs([tmp_path]), NIGHT, None)


def test_a_folder_that_is_not_there_is_one_sentence(tmp_path, capsys):
    given = [str(tmp_path), "--out", str(tmp_path / "out"), "--truth", str(tmp_path / "none")]
    assert main(["evaluate", "weather", *given]) != 0
    assert capsys.readouterr().err.strip().count("\n") == 0
