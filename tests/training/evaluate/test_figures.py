"""Metrics of held-out clips, against values by hand."""

import numpy as np
import pytest
import torch

from realmaster_live.frames.chunk import ChunkSpec
from realmaster_live.training.data import Clip
from realmaster_live.training.evaluate import pictures
from realmaster_live.training.evaluate.figures import other_looks, plain_figures
from realmaster_live.training.evaluate.metrics import kid, psnr

TRUTH = 140
SPEC = ChunkSpec(frames=4, height=32, width=32, fps=20.0)


def colours(frames):
    """A network of one map, the picture itself, whose end is its mean colour."""
    x = frames.movedim(-1, 1).float() / 255.0
    return [x], x.mean((2, 3))


def test_seams_and_distances_are_those_computed_by_hand(monkeypatch):
    monkeypatch.setattr(pictures, "CROP", 32)
    draw = np.random.default_rng(0)
    clips, made = [], {}
    for number in range(2):
        sim = draw.integers(60, 180, (12, 32, 32, 3), np.uint8)
        name = f"clip{number}"
        clips.append(Clip(name=name, seed=1000 + number, facts={}, sim=sim, truth=sim + 20))
        # its error changes by 1 level from frame to frame, and by 3 where a chunk begins
        error = np.cumsum([0, 1, 1, 1, 3, 1, 1, 1, 3, 1, 1, 1])
        made[name] = (sim + error[:, None, None, None]).astype(np.uint8)
    found = plain_figures(clips, lambda clip, prompt: made[clip.name], colours, SPEC)
    assert found["seam_ratio"] == pytest.approx(3.0)
    assert found["realized"]["flicker"] == pytest.approx((2 * 3 + 9 * 1) / 11, abs=1e-4)
    assert found["render"]["psnr_db"] == pytest.approx(20 * np.log10(255 / 20), abs=1e-3)
    of_clips = [np.mean(psnr(made[c.name], c.truth)) for c in clips]
    assert found["realized"]["psnr_db"] == pytest.approx(np.mean(of_clips), abs=1e-3)
    assert found["psnr_db_by_clip"]["clip0"]["realized"] == pytest.approx(of_clips[0], abs=0.01)
    ends = [
        torch.cat([colours(torch.from_numpy(each))[1] for each in films]).numpy()
        for films in (made.values(), [c.truth for c in clips])
    ]
    assert found["realized"]["kid_x1000"] == pytest.approx(1000 * kid(*ends), abs=1e-3)
    assert found["frames"] == 24 and found["seeds"] == [1000, 1001]


def clip(name, sim, look="A"):
    frames = np.zeros((4, 32, 32, 3), np.uint8)
    return Clip(name=name, seed=1000, facts={"look": look}, sim=frames + sim, truth=frames + TRUTH)


def half_way(clip, prompt):
    """Return the middle between a clip's render and its truth."""
    middle = (clip.sim.astype(int) + clip.truth) // 2
    return middle.astype(np.uint8)


def test_every_look_is_held_to_the_same_drives_of_the_trained_one(monkeypatch):
    monkeypatch.setattr(pictures, "CROP", 32)
    grey = np.uint8([1, 1, 1])
    trained = [clip("one", 100 * grey), clip("two", 120 * grey)]
    others = [
        clip("one", 60 * grey, "B"),
        clip("two", np.uint8([140, 140, 100]), "drawn-7"),
        clip("three", 0 * grey, "B"),  # no drive of the trained look
    ]
    found = other_looks(trained, others, half_way, colours)
    assert list(found) == ["B", "drawn-7"] and found["B"]["clips"] == 1
    doubled = 20 * np.log10(2)  # half of the error
    for figures in found.values():
        assert figures["gain_db"] == pytest.approx(doubled, abs=1e-3)
        assert figures["gain_a_db"] == pytest.approx(doubled, abs=1e-3)
    assert found["B"]["render_db"] == pytest.approx(20 * np.log10(255 / 80), abs=1e-3)
    assert found["B"]["render_features"] == pytest.approx(0, abs=1e-6)  # the same hue
    unit = np.float64([140, 140, 100]) / np.linalg.norm([140, 140, 100]) - 3**-0.5
    assert found["drawn-7"]["render_features"] == pytest.approx(np.square(unit).sum(), abs=1e-4)


def test_drives_that_the_trained_look_lacks_give_no_figures():
    assert other_looks([clip("one", np.uint8([9, 9, 9]))], [], half_way, colours) == {}
