from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from tiny_editors import save_klein

from realmaster_live.errors import ConfigError, PairError
from realmaster_live.training.pairs.anchors import AnchorsConfig, AnchorsStage, edit_frames, make
from realmaster_live.training.pairs.sources import read_frames
from realmaster_live.training.pairs.stage import Clip, Job

FRAMES, HEIGHT, WIDTH = 9, 96, 160


def drive(frames: int = FRAMES) -> np.ndarray:
    """Boxes that come nearer, (T, H, W, 3)."""
    rng = np.random.default_rng(0)
    boxes = [
        (*rng.integers(0, (WIDTH - 40, HEIGHT - 30)), *rng.integers(8, 40, 2)) for _ in range(14)
    ]
    colours = rng.integers(0, 256, (14, 3))
    clip = np.full((frames, HEIGHT, WIDTH, 3), 150, np.uint8)
    for t in range(frames):
        for (x, y, w, h), colour in zip(boxes, colours, strict=True):
            clip[t, y : y + h + t, x + t : x + w + 2 * t] = colour
    return clip


def save_pair(folder: Path, *, truth: np.ndarray | None = None) -> Clip:
    rendered = drive()
    photos = np.clip(rendered * 0.6 + (60, 50, 30), 0, 255).astype(np.uint8)
    np.save(folder / "clip.sim.npy", rendered)
    np.save(folder / "clip.truth.npy", photos if truth is None else truth)
    return Clip(
        clip_id="clip", source=str(folder / "clip"), kind="pairs", first=0, frames=FRAMES, fps=16,
        width=WIDTH, height=HEIGHT, prompt="Rain falls.", truth=True, sha256="ab",
    )  # fmt: skip


def read(path: Path) -> np.ndarray:
    return cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)


class Repainter:
    """An editor that repaints, and moves its answer by what a seed says."""

    def __init__(self, moved: Mapping[int, int]) -> None:
        self.moved = moved
        self.asked: list[tuple[str, int, bool]] = []

    def edit(self, image, prompt, seed, reference=None):
        self.asked.append((prompt, seed, reference is not None))
        painted = np.clip(255 - image * 0.7, 0, 255).astype(np.uint8)
        return np.roll(painted, self.moved.get(seed, 0), axis=1)


def stage_with(editor: Repainter, **options) -> AnchorsStage:
    return AnchorsStage(AnchorsConfig(**options), editor)


def test_path_traced_anchors_are_the_truth_of_first_and_last(tmp_path) -> None:
    clip = save_pair(tmp_path)
    stage = make(AnchorsConfig(editor="path-traced"), tmp_path)
    facts = stage.run(Job(clip=clip, inputs={}), tmp_path / "anchors.png")
    truth = np.load(tmp_path / "clip.truth.npy")
    np.testing.assert_array_equal(
        read(tmp_path / "anchors.png"), np.concatenate([truth[0], truth[-1]])
    )
    assert facts["frames"] == [0, FRAMES - 1]
    assert max(facts["shift_px"]) < 0.2
    assert min(facts["edge_f1"]) > 0.9
    assert (stage.spec.model, stage.spec.suffix, stage.spec.after) == ("", ".png", ())


def test_more_anchors_are_written_in_order_of_time(tmp_path) -> None:
    clip = save_pair(tmp_path)
    stage = make(AnchorsConfig(editor="path-traced", count=3), tmp_path)
    assert stage.run(Job(clip=clip, inputs={}), tmp_path / "a.png")["frames"] == [0, 4, 8]
    truth = np.load(tmp_path / "clip.truth.npy")
    np.testing.assert_array_equal(read(tmp_path / "a.png"), np.concatenate(truth[[0, 4, 8]]))


def test_the_first_edit_leads_the_last_under_one_seed_and_prompt(tmp_path) -> None:
    clip, editor = save_pair(tmp_path), Repainter({})
    stage = stage_with(editor, prompt="Make it real. {prompt}", seed=5)
    facts = stage.run(Job(clip=clip, inputs={}), tmp_path / "a.png")
    assert editor.asked == [
        ("Make it real. Rain falls.", 5, False),
        ("Make it real. Rain falls.", 5, True),
    ]
    assert (facts["seed"], facts["tries"]) == (5, 1)


def test_an_edit_that_moved_is_tried_with_the_next_seed(tmp_path) -> None:
    clip, editor = save_pair(tmp_path), Repainter({0: 6, 1: -9})
    facts = stage_with(editor, tries=4).run(Job(clip=clip, inputs={}), tmp_path / "a.png")
    assert (facts["seed"], facts["tries"]) == (2, 3)
    assert [seed for _, seed, _ in editor.asked] == [0, 1, 2, 2]  # a bad first spares the last
    edited = read(tmp_path / "a.png")
    expected = np.clip(255 - read_frames(clip)[0] * 0.7, 0, 255).astype(np.uint8)
    np.testing.assert_array_equal(edited[:HEIGHT], expected)


def test_a_clip_whose_edits_all_moved_is_refused_with_the_best(tmp_path) -> None:
    clip, editor = save_pair(tmp_path), Repainter({0: 16, 1: 4, 2: 20})
    with pytest.raises(PairError, match=r"got at best 4\.\d px .* with seed 1 of 3"):
        stage_with(editor, tries=3).run(Job(clip=clip, inputs={}), tmp_path / "a.png")
    assert not (tmp_path / "a.png").exists()


def test_an_edit_of_another_street_is_refused() -> None:
    frames = drive()
    other = np.ascontiguousarray(frames[0, ::-1, ::-1])

    class OtherStreet:
        def edit(self, image, prompt, seed, reference=None):
            return other

    edited = edit_frames(OtherStreet(), list(frames[:1]), "", 0, AnchorsConfig(max_shift_px=1000))
    assert not edited.passed
    assert edited.alignments[0].edge_f1 < 0.5


def test_networks_edit_at_a_size_of_their_own(tmp_path) -> None:
    clip = save_pair(tmp_path)
    options = {"editor": "flux2-klein-4b", "dtype": "float32", "device": "cpu", "steps": 1}
    config = AnchorsConfig(
        folder=str(save_klein(tmp_path / "klein")), pixels=64 * 128,
        max_shift_px=1000, min_edge_f1=0, **options,
    )  # fmt: skip
    stage = make(config, tmp_path)
    assert stage.spec.model == "black-forest-labs/FLUX.2-klein-4B"
    assert stage.spec.licence == "Apache-2.0"
    facts = stage.run(Job(clip=clip, inputs={}), tmp_path / "a.png")
    assert read(tmp_path / "a.png").shape == (2 * HEIGHT, WIDTH, 3)
    assert facts["steps"] == 1
    assert facts["seconds"] > 0
    with pytest.raises(PairError, match="raise tries, loosen"):  # noise is no photograph
        make(replace(config, min_edge_f1=0.95), tmp_path).run(
            Job(clip=clip, inputs={}), tmp_path / "b.png"
        )


def test_keys_know_what_decides_an_edit() -> None:
    def hash_of(**options) -> str:
        return AnchorsStage(AnchorsConfig(**options)).spec.parameters_hash

    plain = hash_of()
    for options in (
        {"prompt": "x"}, {"seed": 1}, {"steps": 7}, {"guidance": 9.0}, {"pixels": 4096},
        {"count": 3}, {"tries": 9}, {"max_shift_px": 9.0}, {"min_edge_f1": 0.1},
        {"model": "a/b"}, {"revision": "r"}, {"editor": "qwen-image-edit-2509"},
    ):  # fmt: skip
        assert hash_of(**options) != plain, options
    assert hash_of(folder="/elsewhere", device="cpu", offload="model") == plain
    assert hash_of(steps=50) == plain  # what its makers advise


def test_recipes_that_cannot_be_are_refused_at_once(tmp_path) -> None:
    with pytest.raises(ConfigError, match='accept_licence = "flux-1-dev-non-commercial"'):
        make(AnchorsConfig(editor="flux1-kontext-dev"), tmp_path)
    consent = AnchorsConfig(editor="flux1-kontext-dev", accept_licence="flux-1-dev-non-commercial")
    assert "Non-Commercial" in make(consent, tmp_path).spec.licence
    with pytest.raises(ConfigError, match="count of 2 or more"):
        AnchorsConfig(count=1)
