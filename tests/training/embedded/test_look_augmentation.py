import dataclasses

import numpy as np
import torch

from realmaster_live.training.data import find_clips
from realmaster_live.training.embedded.look_augmentation import randomize_look, sharpen
from realmaster_live.training.embedded.run import Run


def test_a_look_is_random_but_the_same_for_all_frames():
    frame = np.random.default_rng(1).integers(0, 256, (1, 24, 32, 3), np.uint8)
    frames = torch.from_numpy(np.repeat(frame, 3, 0))
    one, again, other = (randomize_look(frames, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert one.dtype == torch.uint8 and one.shape == frames.shape
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert torch.equal(one[0], one[1]) and torch.equal(one[0], one[2])


def test_sharpening_leaves_flat_areas_and_steepens_edges():
    step = torch.zeros(1, 6, 8, 3)
    step[:, :, 4:] = 1.0
    torch.testing.assert_close(sharpen(step, 0.0), step)
    steeper = sharpen(step, 1.0)
    torch.testing.assert_close(steeper[0, 2, 3], torch.full((3,), -1 / 3))
    torch.testing.assert_close(steeper[0, 2, 4], torch.full((3,), 4 / 3))
    torch.testing.assert_close(steeper[0, 2, 0], torch.zeros(3))


def test_only_the_render_is_varied(recipe, pairs, tmp_path):
    batches = []
    for share in (0.0, 1.0):
        joint = dataclasses.replace(recipe.joint, varied_share=share, batch=1)
        run = Run(dataclasses.replace(recipe, joint=joint), pairs, tmp_path / str(share))
        stage = run.stage("joint", find_clips(pairs, "training"))
        batches.append(stage.batch(np.random.default_rng(4)))
    plain, varied = batches
    assert torch.equal(plain.truth, varied.truth)
    assert not torch.equal(plain.sim, varied.sim)
