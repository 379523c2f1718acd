"""The joint stage learns from depth and classes, and without them."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from realmaster_live.engines.torch.engine import TorchEngine
from realmaster_live.frames.classes import CLASS_NAMES
from realmaster_live.model.checkpoint import load_checkpoint
from realmaster_live.model.geometry_guide import CHANNELS, DEPTHS, geometry_of
from realmaster_live.model.vae import StreamingAutoencoder
from realmaster_live.training.data import find_clips, step_rng
from realmaster_live.training.embedded.joint import JointStage
from realmaster_live.training.embedded.run import Run, fit
from realmaster_live.training.evaluate.figures import geometry_figures
from realmaster_live.training.latents import draw_window, encode_clips, geometry


@pytest.fixture
def labelled(linked_pairs):
    """The session's pairs, with depth and classes beside all clips but the first."""
    folder, rng = linked_pairs, np.random.default_rng(0)
    for path in sorted(folder.glob("*.json"))[1:]:
        facts = json.loads(path.read_text())
        path.unlink()
        path.write_text(json.dumps(facts | {"fov_deg": 75.0}))
        time, height, width, _ = np.load(path.with_suffix(".sim.npy")).shape
        rows = np.linspace(0.01, 0.2, height)[:, None] + rng.random() * np.linspace(0, 0.1, width)
        np.savez_compressed(
            path.with_suffix(".labels.npz"),
            depth=np.broadcast_to(1 / rows, (time, height, width)).astype(np.float16),
            semantic=rng.integers(0, len(CLASS_NAMES), (time, height, width)).astype(np.uint8),
        )
    return folder


def test_a_mirrored_window_has_the_geometry_of_the_mirrored_picture(labelled, recipe):
    torch.manual_seed(0)
    clip = find_clips(labelled, "training")[1]
    autoencoder = StreamingAutoencoder(recipe.profile)
    rng = np.random.default_rng(1)
    straight, mirrored = encode_clips(autoencoder, [clip], mirrors=(False, True))
    whole = draw_window(straight, rng, rows=99, columns=99, step=1)
    flipped = {name: x[:, :, ::-1] for name, x in clip.read_labels("depth", "semantic").items()}
    # the label of a cell is that of its first pixel, which the mirror makes the second
    shifted = {name: np.roll(x, -1, 2) for name, x in flipped.items()}
    wanted = geometry_of(shifted, clip.intrinsics, clip.sim.shape[:3]).astype(int)
    found = geometry(mirrored, recipe.profile, whole, first=0, chunks=3).numpy().astype(int)
    inside = np.abs(found - wanted)[:, :, :, 2:-2]
    assert inside[:, len(DEPTHS) :].max() == 0
    assert inside[:, : len(DEPTHS)].max() <= 4
    across = found[:, DEPTHS.index("normal x")]
    own = geometry(straight, recipe.profile, whole, first=0, chunks=3).numpy().astype(int)
    assert np.array_equal(across + own[:, DEPTHS.index("normal x"), :, ::-1], across * 0 + 256)
    window = draw_window(straight, rng, rows=2, columns=3, step=1)
    top, left = 8 * window.top, 8 * window.left
    part = geometry(straight, recipe.profile, window, first=1, chunks=1).numpy()
    assert np.array_equal(part, own[4:8, :, top : top + 16, left : left + 24])


def test_a_clip_without_labels_is_unknown(labelled, recipe):
    torch.manual_seed(0)
    clip = find_clips(labelled, "training")[0]
    assert clip.labels is None
    (sequence,) = encode_clips(StreamingAutoencoder(recipe.profile), [clip])
    window = draw_window(sequence, np.random.default_rng(0), rows=2, columns=2, step=1)
    found = geometry(sequence, recipe.profile, window, first=0, chunks=1)
    assert found.shape == (4, CHANNELS, 16, 16) and not found.any()


def joint_stage(labelled, recipe, out) -> JointStage:
    run = Run(recipe, labelled, out)
    stage = run.stage("joint", find_clips(labelled, "training")[1:])
    assert isinstance(stage, JointStage)
    return stage


def test_depth_and_classes_are_dropped_each_by_itself(labelled, recipe, tmp_path):
    joint = dataclasses.replace(recipe.joint, geometry_dropout=0.3, batch=4)
    stage = joint_stage(labelled, dataclasses.replace(recipe, joint=joint), tmp_path / "run")
    kinds = []
    for step in range(150):
        shapes = stage.batch(step_rng(0, step)).geometry
        assert shapes is not None
        for one in shapes:
            kinds.append((bool(one[:, 0].any()), bool(one[:, len(DEPTHS) :].any())))
    shares = np.array([kinds.count(kind) for kind in ((1, 1), (1, 0), (0, 1), (0, 0))]) / len(kinds)
    assert np.abs(shares - (0.49, 0.21, 0.21, 0.09)).max() < 0.06


def test_training_guides_and_the_figures_tell_what_it_brings(labelled, recipe, tmp_path):
    joint = dataclasses.replace(recipe.joint, geometry_dropout=0.0, learning_rate=2e-2)
    recipe = dataclasses.replace(recipe, stages=("joint",), joint=joint)
    assert fit(recipe, labelled, tmp_path / "run")
    decoder = load_checkpoint(tmp_path / "run" / "checkpoint")[0].decoder
    assert decoder.fine_geometry.weight.abs().max() > 0
    assert decoder.half_geometry.weight.abs().max() > 0
    clips = find_clips(labelled, "held out")

    def network(pictures):
        features = pictures.permute(0, 3, 1, 2).float() / 255.0
        return [features], features.mean((2, 3))

    size = {"width": 96, "height": 64, "threads": 1}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "realmaster_live.training.evaluate.figures.crops", lambda x: torch.from_numpy(x)
        )
        with TorchEngine(tmp_path / "run" / "checkpoint", **size) as engine:
            found = geometry_figures(clips, engine, network)
            unlabelled = [dataclasses.replace(clip, labels=None) for clip in clips]
            assert geometry_figures(unlabelled, engine, network) == {}
    assert list(found) == ["nothing", "depth", "classes", "both"]
    assert len({figures["psnr_db"] for figures in found.values()}) == 4
    for figures in found.values():
        assert 5.0 < figures["psnr_db"] < 60.0 and figures["features"] > 0
