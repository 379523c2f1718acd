import copy

import numpy as np
import torch
from refit_tone import Sums, chunks_of, refit_tone

from realmaster_live.training.data import find_clips
from realmaster_live.training.embedded.run import Run


def test_the_normal_equations_find_the_weights_and_a_ridge_holds_them():
    rows = torch.randn(50, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    true = torch.tensor([1.0, -2.0, 0.5, 3.0], dtype=torch.float64)
    sums = Sums(4)
    for colour in range(3):
        sums.add(colour, rows, rows @ true)
    torch.testing.assert_close(sums.change(0.0)[2], true, atol=1e-6, rtol=0.0)
    assert sums.change(1e6).abs().max() < 1e-4


@torch.no_grad()
def test_refitting_brings_pictures_nearer_to_the_truth_and_changes_the_tone_alone(
    recipe, pairs, tmp_path
):
    run = Run(recipe, pairs, tmp_path / "run")
    clip = find_clips(pairs, "training")[0]
    before = copy.deepcopy(run.autoencoder)
    refit_tone(run.autoencoder, run.transformer, [clip], ridge=1e-3)
    after = run.autoencoder.state_dict()
    for name, value in before.state_dict().items():
        assert torch.equal(after[name], value) == (".tone." not in name)

    def error(tone):
        weights = torch.cat((tone.weight[:, :, 0, 0], tone.bias[:, None]), 1)
        found = []
        for cells, truth, features in chunks_of(before, run.transformer, clip, clip.prompt):
            gain, offset = torch.einsum("kc,chw->khw", weights, features).chunk(2)
            shown = cells + cells * gain.repeat(4, 1, 1) + offset.repeat(4, 1, 1)
            found.append(float((shown - truth).square().mean()))
        return np.mean(found)

    assert error(run.autoencoder.decoder.tone) < 0.98 * error(before.decoder.tone)
