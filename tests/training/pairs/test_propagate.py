from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from tiny_vace import save_vace

from realmaster_live.errors import ConfigError, PairError
from realmaster_live.training.pairs import videos
from realmaster_live.training.pairs.propagate import (
    PropagateConfig,
    load_vace,
    make,
    propagate,
    schedule,
)
from realmaster_live.training.pairs.stage import Clip, Job

HEIGHT, WIDTH, FRAMES = 32, 48, 9


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return save_vace(tmp_path_factory.mktemp("vace"))


def config(folder: Path, **options) -> PropagateConfig:
    small = {"steps": 2, "window": 9, "overlap": 5, "dtype": "float32", "device": "cpu"}
    return PropagateConfig(**(small | {"folder": str(folder)} | options))


@pytest.fixture(scope="module")
def pipeline(folder):
    return load_vace(config(folder))


def save_pair(folder: Path, frames: int = FRAMES) -> Clip:
    """A pair of renders and depth, on disk."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (2, frames, HEIGHT, WIDTH, 3), dtype=np.uint8)
    pixels = np.stack([np.stack([cv2.GaussianBlur(f, (0, 0), 6) for f in c]) for c in pixels])
    depth = np.linspace(2, 80, frames * HEIGHT * WIDTH, dtype=np.float32)
    for name, array in {"sim": pixels[0], "truth": pixels[1]}.items():
        np.save(folder / f"clip.{name}.npy", array)
    np.save(folder / "clip.depth.npy", depth.reshape(frames, HEIGHT, WIDTH))
    return Clip(
        clip_id="clip", source=str(folder / "clip"), kind="pairs", first=0, frames=frames, fps=16,
        width=WIDTH, height=HEIGHT, prompt="rain falls on the road", labels=("depth",), truth=True,
        sha256="ab",
    )  # fmt: skip


def save_inputs(folder: Path, frames: int = FRAMES, anchors: int = 2) -> dict[str, Path]:
    """Anchors above each other, and edges."""
    rng = np.random.default_rng(1)
    picture = rng.integers(0, 256, (anchors * HEIGHT, WIDTH, 3), dtype=np.uint8)
    cv2.imwrite(str(folder / "anchors.png"), picture)
    edges = np.where(rng.random((frames, HEIGHT, WIDTH)) < 0.1, 0, 255).astype(np.uint8)
    videos.write_gray(folder / "edges.mkv", edges, 16)
    return {"anchors": folder / "anchors.png", "edges": folder / "edges.mkv"}


def test_makes_a_clip_of_anchors_and_edges(tmp_path, folder) -> None:
    clip, inputs = save_pair(tmp_path), save_inputs(tmp_path)
    stage = make(config(folder), tmp_path)
    assert stage.spec.after == ("anchors", "edges")
    facts = stage.run(Job(clip=clip, inputs=inputs), tmp_path / "one.mp4")
    assert {k: facts[k] for k in ("method", "frames", "steps", "pieces", "kept_latents")} == {
        "method": "vace",
        "frames": FRAMES,
        "steps": 2,
        "pieces": 1,
        "kept_latents": [[]],
    }
    assert facts["seconds"] > 0
    assert videos.read_video(tmp_path / "one.mp4").shape == (FRAMES, HEIGHT, WIDTH, 3)
    stage.run(Job(clip=clip, inputs=inputs), tmp_path / "again.mp4")
    assert (tmp_path / "one.mp4").read_bytes() == (tmp_path / "again.mp4").read_bytes()


@pytest.mark.parametrize(
    "change",
    [{"sha256": "cd"}, {"prompt": "snow falls on the road"}],
    ids=["noise of another clip", "prompt"],
)
def test_what_the_clip_says_changes_the_result(pipeline, folder, tmp_path, change) -> None:
    clip = save_pair(tmp_path)
    control = np.full((FRAMES, HEIGHT, WIDTH), 255, np.uint8)
    one, _ = propagate(pipeline, control, {}, clip, config(folder))
    other, _ = propagate(pipeline, control, {}, replace(clip, **change), config(folder))
    assert not np.array_equal(one, other)


@pytest.mark.parametrize(
    "options",
    [{"steps": 3}, {"guidance": 1.0}, {"conditioning_scale": 0.0}, {"flow_shift": 9.0},
     {"negative_prompt": "snow"}, {"anchor_hold_frames": 2}, {"seed": 1}],
    ids=lambda options: next(iter(options)),
)  # fmt: skip
def test_every_option_changes_the_result_and_the_keys(pipeline, folder, tmp_path, options) -> None:
    clip = save_pair(tmp_path)
    control = np.full((FRAMES, HEIGHT, WIDTH), 255, np.uint8)
    anchors = {0: np.zeros((HEIGHT, WIDTH, 3), np.uint8)}
    plain, other = config(folder), config(folder, **options)
    before, _ = propagate(pipeline, control, anchors, clip, plain)
    after, _ = propagate(pipeline, control, anchors, clip, other)
    assert not np.array_equal(before, after)
    assert make(plain, tmp_path).spec.parameters_hash != make(other, tmp_path).spec.parameters_hash


def test_where_it_runs_is_no_part_of_the_keys(folder, tmp_path) -> None:
    here, there = config(folder), config(Path("/elsewhere"), device="cuda:1", offload="model")
    assert make(here, tmp_path).spec == make(there, tmp_path).spec


def test_long_clips_are_made_in_pieces_that_continue_from_each_other(
    pipeline, folder, tmp_path, monkeypatch
) -> None:
    clip = save_pair(tmp_path, 17)
    control = np.full((17, HEIGHT, WIDTH), 255, np.uint8)
    first, last = np.full((2, HEIGHT, WIDTH, 3), (200, 30, 60), np.uint8)
    given, called = [], type(pipeline).__call__

    def listen(self, **options):
        answer = called(self, **options)
        given.append((options["video"][0], options["mask"][0, :, 0, 0, 0], answer.frames[0]))
        return answer

    monkeypatch.setattr(type(pipeline), "__call__", listen)
    made, facts = propagate(pipeline, control, {0: first, 16: last}, clip, config(folder))
    assert made.shape == (17, HEIGHT, WIDTH, 3)
    assert facts["pieces"] == 3
    masks = ["".join(str(int(x)) for x in mask) for _, mask, _ in given]
    assert masks == ["011111111", "000001111", "000001110"]  # the last anchor is in the last piece
    answers = [np.rint(255 * answer).astype(np.uint8) for _, _, answer in given]
    np.testing.assert_array_equal(
        made, np.concatenate([answers[0], answers[1][5:], answers[2][5:]])
    )
    for number, start in ((1, 4), (2, 8)):
        kept = given[number][0][:5].permute(0, 2, 3, 1).numpy() * 255
        np.testing.assert_allclose(kept, made[start : start + 5], atol=1e-3)


def test_depth_takes_the_place_of_edges(tmp_path, folder) -> None:
    clip, inputs = save_pair(tmp_path), save_inputs(tmp_path)
    stage = make(config(folder, control="depth"), tmp_path)
    assert stage.spec.after == ("anchors",)
    facts = stage.run(Job(clip=clip, inputs={"anchors": inputs["anchors"]}), tmp_path / "d.mp4")
    assert facts["frames"] == FRAMES
    by_edges = make(config(folder), tmp_path)
    by_edges.run(Job(clip=clip, inputs=inputs), tmp_path / "e.mp4")
    assert (tmp_path / "d.mp4").read_bytes() != (tmp_path / "e.mp4").read_bytes()


def test_more_anchors_are_read_from_the_picture(tmp_path, folder) -> None:
    clip, inputs = save_pair(tmp_path), save_inputs(tmp_path, anchors=3)
    stage = make(config(folder, anchor_hold_frames=2), tmp_path)
    facts = stage.run(Job(clip=clip, inputs=inputs), tmp_path / "three.mp4")
    assert facts["kept_latents"] == [[0, 1, 2]]


def test_exact_takes_the_truth(tmp_path) -> None:
    clip = save_pair(tmp_path)
    stage = make(PropagateConfig(method="exact"), tmp_path)
    assert (stage.spec.after, stage.spec.model) == ((), "")
    facts = stage.run(Job(clip=clip, inputs={}), tmp_path / "exact.mp4")
    assert facts["frames"] == FRAMES
    made = videos.read_video(tmp_path / "exact.mp4").astype(int)
    assert np.abs(made - np.load(tmp_path / "clip.truth.npy")).mean() < 3
    with pytest.raises(PairError, match="truth"):
        stage.run(Job(clip=replace(clip, truth=False), inputs={}), tmp_path / "none.mp4")


def test_the_flow_shift_follows_the_size(pipeline, folder, tmp_path) -> None:
    clip = save_pair(tmp_path)
    for size, options, expected in (
        ((832, 480), {}, 3),
        ((1280, 720), {}, 5),
        ((832, 480), {"flow_shift": 8.0}, 8),
    ):
        sized = replace(clip, width=size[0], height=size[1])
        schedule(pipeline, config(folder, **options), sized)
        assert pipeline.scheduler.config.flow_shift == expected


def test_the_autoencoder_keeps_full_precision_beside_bfloat16(folder) -> None:
    import torch

    loaded = load_vace(config(folder, dtype="bfloat16", tiling=True))
    assert loaded.vae.dtype == torch.float32
    assert loaded.vae.use_tiling
    assert loaded.transformer.blocks[0].attn1.to_q.weight.dtype == torch.bfloat16


def test_broken_inputs_are_reported(tmp_path, folder) -> None:
    clip, inputs = save_pair(tmp_path), save_inputs(tmp_path)
    stage = make(config(folder), tmp_path)
    longer = replace(clip, frames=13)
    with pytest.raises(PairError, match=r"expected edges .*13.*run the stage edges"):
        stage.run(Job(clip=longer, inputs=inputs), tmp_path / "no.mp4")
    inputs["anchors"].write_bytes(b"no picture")
    with pytest.raises(PairError, match="run the stage anchors"):
        stage.run(Job(clip=clip, inputs=inputs), tmp_path / "no.mp4")
    with pytest.raises(ConfigError, match="anchor_hold_frames"):
        config(folder, anchor_hold_frames=0)
