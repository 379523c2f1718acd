"""The joint stage learns from depth, classes and light, and without them."""

import dataclasses
import json

import numpy as np
import pytest
import torch

from realmaster_live.engines.torch.engine import TorchEngine
from realmaster_live.frames.classes import CLASS_NAMES
from realmaster_live.model.checkpoint import load_checkpoint
from realmaster_live.model.geometry_guide import CHANNELS, DEPTHS, geometry_of
from realmaster_live.model.light_guide import LIGHTS, MIRRORED
from realmaster_live.model.vae import StreamingAutoencoder
from realmaster_live.training.data import find_clips, step_rng
from realmaster_live.training.embedded.joint import JointStage
from realmaster_live.training.embedded.run import Run, fit
from realmaster_live.training.evaluate.figures import guide_figures
from realmaster_live.training.latents import draw_window, encode_clips, geometry, light


@pytest.fixture
def labelled(linked_pairs):
    """The session's pairs, with depth, classes, a sun and poses of all clips but the first."""
    folder, rng = linked_pairs, np.random.default_rng(0)
    for path in sorted(folder.glob("*.json"))[1:]:
        facts = json.loads(path.read_text())
        path.unlink()
        time, height, width, _ = np.load(path.with_suffix(".sim.npy")).shape
        sun = {"sun_azimuth_angle": 360 * rng.random(), "sun_altitude_angle": 60 * rng.random()}
        camera = {"camera_yaw_deg": np.linspace(0, 9, time).tolist(), "mount": [0, 0, 2, -3, 0, 0]}
        path.write_text(json.dumps(facts | {"fov_deg": 75.0, "weather": sun} | camera))
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
    assert clip.poses is None
    told = light(sequence, recipe.profile, window, first=0, chunks=1)
    assert told.shape == (1, len(LIGHTS), 2, 2) and not told.any()


def test_a_chunk_has_the_light_of_its_last_frame(labelled, recipe):
    torch.manual_seed(0)
    clip = find_clips(labelled, "training")[1]
    autoencoder = StreamingAutoencoder(recipe.profile)
    rng = np.random.default_rng(1)
    [late, _, _, mirrored] = encode_clips(autoencoder, [clip], phases=(1, 0), mirrors=(False, True))
    whole = draw_window(late, rng, rows=99, columns=99, step=1)
    found = light(late, recipe.profile, whole, first=1, chunks=1).numpy()
    assert np.array_equal(found[0], clip.light(8, 16))
    flipped = light(mirrored, recipe.profile, whole, first=1, chunks=1).numpy()[0]
    wanted = clip.light(7, 16)[..., ::-1].copy()
    wanted[list(MIRRORED)] *= -1
    assert np.array_equal(flipped, wanted)
    window = draw_window(late, rng, rows=2, columns=3, step=1)
    part = light(late, recipe.profile, window, first=1, chunks=1).numpy()
    assert np.array_equal(part, window.of(torch.from_numpy(found)).numpy())


def test_light_changes_the_latent_of_the_render_alone(labelled, recipe):
    torch.manual_seed(0)
    clip = find_clips(labelled, "training")[1]
    autoencoder = StreamingAutoencoder(recipe.profile)
    (before,) = encode_clips(autoencoder, [clip])
    torch.nn.init.normal_(autoencoder.light.out.weight)
    (told,) = encode_clips(autoencoder, [clip])
    (untold,) = encode_clips(autoencoder, [dataclasses.replace(clip, facts={"seed": 1})])
    assert torch.equal(before.reference, untold.reference)
    assert (told.reference - before.reference).abs().max() > 1e-3
    assert torch.equal(before.target, told.target)


def joint_stage(labelled, recipe, out) -> JointStage:
    run = Run(recipe, labelled, out)
    stage = run.stage("joint", find_clips(labelled, "training")[1:])
    assert isinstance(stage, JointStage)
    return stage


def test_depth_classes_and_light_are_dropped_each_by_itself(labelled, recipe, tmp_path):
    joint = dataclasses.replace(recipe.joint, geometry_dropout=0.3, light_dropout=0.4, batch=4)
    stage = joint_stage(labelled, dataclasses.replace(recipe, joint=joint), tmp_path / "run")
    kinds, lit = [], []
    for step in range(150):
        batch = stage.batch(step_rng(0, step))
        shapes = batch.geometry
        assert shapes is not None and batch.light is not None
        lit += [bool(one.any()) for one in batch.light.unbind(1)]
        for one in shapes:
            kinds.append((bool(one[:, 0].any()), bool(one[:, len(DEPTHS) :].any())))
    shares = np.array([kinds.count(kind) for kind in ((1, 1), (1, 0), (0, 1), (0, 0))]) / len(kinds)
    assert np.abs(shares - (0.49, 0.21, 0.21, 0.09)).max() < 0.06
    assert np.mean(lit) == pytest.approx(0.6, abs=0.06)


def test_training_guides_and_the_figures_tell_what_it_brings(labelled, recipe, tmp_path):
    joint = dataclasses.replace(
        recipe.joint, geometry_dropout=0.0, light_dropout=0.0, learning_rate=2e-2
    )
    recipe = dataclasses.replace(recipe, stages=("joint",), joint=joint)
    assert fit(recipe, labelled, tmp_path / "run")
    autoencoder, _ = load_checkpoint(tmp_path / "run" / "checkpoint")
    assert autoencoder.light.out.weight.abs().max() > 0
    decoder = autoencoder.decoder
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
            found = guide_figures(clips, engine, network)
            unlabelled = [dataclasses.replace(clip, labels=None) for clip in clips]
            assert guide_figures(unlabelled, engine, network) == {}
    assert list(found) == ["nothing", "light", "depth", "classes", "all"]
    assert len({figures["psnr_db"] for figures in found.values()}) == 5
    for figures in found.values():
        assert 5.0 < figures["psnr_db"] < 60.0 and figures["features"] > 0
