import dataclasses

import numpy as np
import pytest
import torch

from realmaster_live.errors import PairError
from realmaster_live.model.precipitation import GREY, KINDS, Precipitation
from realmaster_live.training.data import find_clips
from realmaster_live.training.embedded.precipitation import OPACITY, opacity, with_precipitation
from realmaster_live.training.embedded.run import Run

STRIDE, FRAMES = 16, 4


@pytest.mark.parametrize("kind", ["drops", "flakes"])
def test_only_high_noise_makes_something_fall_at_its_place_and_time(kind):
    noise = torch.zeros(1, 48, 3, 3)
    assert opacity(noise, kind, frames=FRAMES, stride=STRIDE).sum() == 0
    noise[0, 2 * 12 + 5, 1, 1] = 9.0  # slot 5 of the third frame, in the middle
    cover = opacity(noise, kind, frames=FRAMES, stride=STRIDE)
    assert cover.shape == (1, FRAMES, 48, 48)
    assert cover[0, [0, 1, 3]].sum() == 0
    rows, columns = torch.nonzero(cover[0, 2], as_tuple=True)
    assert 16 <= rows[0] < 32 and 16 <= columns[0] < 32  # it hangs from its own position
    assert cover.max() <= OPACITY[kind] + 1e-6


@pytest.mark.parametrize("kind", ["drops", "flakes"])
def test_noise_of_other_places_and_frames_draws_other_pictures(kind):
    generator = torch.Generator().manual_seed(3)
    noise = torch.randn(1, 48, 12, 12, generator=generator)
    cover = opacity(noise, kind, frames=FRAMES, stride=STRIDE)[0]
    assert 0.001 < cover.mean() < 0.03  # sparse
    assert all(not torch.equal(cover[0], cover[t]) for t in range(1, FRAMES))
    moved = opacity(noise.roll(1, 3), kind, frames=FRAMES, stride=STRIDE)[0]
    inner = slice(2 * STRIDE, 10 * STRIDE)
    torch.testing.assert_close(
        moved[:, inner, 3 * STRIDE : 11 * STRIDE], cover[:, inner, 2 * STRIDE : 10 * STRIDE]
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("channels", [8, 48])
def test_the_layer_begins_with_the_stamps_that_are_drawn(kind, channels):
    """An open gate draws what training draws, pixel for pixel."""
    layer = Precipitation(channels, STRIDE, FRAMES)
    noise = torch.randn(2, channels, 4, 6, generator=torch.Generator().manual_seed(1))
    cells = layer.cover(KINDS.index(kind), noise)
    drawn = torch.nn.functional.pixel_shuffle(cells, 2).reshape(2, FRAMES, 4 * STRIDE, 6 * STRIDE)
    wanted = opacity(noise, kind, frames=FRAMES, stride=STRIDE) / OPACITY[kind]
    assert wanted.max() > 0.5
    torch.testing.assert_close(drawn, wanted, atol=1e-6, rtol=0)


def test_the_layer_learns_from_the_latents_what_falls():
    """Latents of rain and of snow differ: the gates open for the kind, from shut ones."""
    torch.manual_seed(0)
    layer = Precipitation(48, STRIDE, FRAMES)
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.002)
    calm = torch.zeros(2 * FRAMES, 12, 4 * STRIDE // 2, 4 * STRIDE // 2)
    weather = torch.randn(2, 48, 1, 1).expand(-1, -1, 4, 4)  # of rain, and of snow
    for step in range(80):
        noise = torch.randn(2, 48, 4, 4, generator=torch.Generator().manual_seed(step))
        got = layer(calm, weather, noise)
        drawn = torch.nn.functional.pixel_shuffle(got[:, ::3], 2)[:, 0].unflatten(0, (2, FRAMES))
        cover = torch.stack(
            [
                GREY[kind] * opacity(noise, kind, frames=FRAMES, stride=STRIDE)[index]
                for index, kind in enumerate(KINDS)
            ]
        )
        loss = (drawn - cover).abs().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step == 0:
            first = float(loss.detach())
    assert float(loss.detach()) < first / 3


def test_what_falls_is_blended_over_the_calm_picture():
    calm = torch.full((1, 1, 2, 2, 3), -1.0)
    cover = torch.tensor([[[[0.0, 0.5], [1.0, 0.25]]]])
    grey = GREY["flakes"]
    wanted = torch.tensor([[-1.0, (grey - 1) / 2], [grey, -1 + (grey + 1) / 4]])
    got = with_precipitation(calm, cover, "flakes")[0, 0]
    torch.testing.assert_close(got, wanted[..., None].expand(2, 2, 3))


@pytest.fixture
def rainy(pairs, tmp_path):
    """One clip of the folder shows rain, and has its calm truth beside it."""
    folder = tmp_path / "pairs"
    folder.mkdir()
    for path in pairs.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    (folder / "clip0001.json").write_text('{"seed": 1, "dt": 0.05, "prompt": "rain"}')
    calm = np.load(folder / "clip0001.truth.npy")
    np.save(folder / "clip0001.calm.npy", calm)
    np.save(folder / "clip0001.truth.npy", 255 - calm)
    return folder


def test_training_sees_the_calm_truth_and_measures_what_falls(recipe, rainy, tmp_path):
    clips = find_clips(rainy, "training")
    assert [clip.calm is not None for clip in clips] == [True, False, False]
    assert np.array_equal(clips[0].pixels[1].numpy(), clips[0].calm)
    joint = dataclasses.replace(recipe.joint, falling_share=1.0, frozen=("autoencoder.encoder",))
    run = Run(dataclasses.replace(recipe, joint=joint), rainy, tmp_path / "run")
    stage = run.stage("joint", clips)
    names = stage.batch(np.random.default_rng(0)).prompts
    assert set(names) == {"rain"}
    parts = stage.loss(0)
    assert parts["falling"] > 0
    parts["loss"].backward()
    assert all(p.grad is None for p in run.autoencoder.encoder.parameters())
    assert any(p.grad is not None for p in run.autoencoder.decoder.parameters())


def test_training_on_what_falls_wants_a_clip_of_it(recipe, pairs, tmp_path):
    joint = dataclasses.replace(recipe.joint, falling_share=0.5)
    run = Run(dataclasses.replace(recipe, joint=joint), pairs, tmp_path / "run")
    with pytest.raises(PairError, match=r"falling_share = 0.5, got none .* --prompts rain,snow"):
        run.stage("joint", find_clips(pairs, "training"))
