"""The quality mode against the passes that training makes, and against itself."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from street import make_chunk

from realmaster_live.engines.load import load_engine
from realmaster_live.engines.torch import quality
from realmaster_live.engines.torch.quality import QualityEngine
from realmaster_live.errors import BuildError, ConfigError, EngineError
from realmaster_live.model.checkpoint import save_checkpoint
from realmaster_live.model.profile import TINY, WAN_1_3B
from realmaster_live.model.random_weights import random_networks
from realmaster_live.model.rope import rope_tables
from realmaster_live.model.whole_clip import guided, predict_clip, reference_pairs

CPU = torch.device("cpu")
WIDTH, HEIGHT = 64, 32
SIZE = {"width": WIDTH, "height": HEIGHT, "threads": 1}
SMALL_WAN = replace(
    WAN_1_3B, name="small-wan", width=48, layers=2, heads=2, hidden=64, text_width=12,
    frequency_width=16,
)  # fmt: skip
TWO = replace(TINY, name="tiny-two", experts=2, expert_boundary=0.875)
PROMPTS = {
    name: np.random.default_rng(seed).standard_normal((5, 12), np.float32)
    for seed, name in enumerate(("photo", "negative"))
}


def clip_of(frames):
    chunk = make_chunk(0)
    shape = (frames, HEIGHT, WIDTH, 3)
    pictures = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    return replace(
        chunk,
        frames=pictures,
        frame_ids=np.arange(frames),
        timestamps=np.arange(frames) / 16,
        captured_at=np.zeros(frames),
        cam_to_world=np.tile(np.eye(4), (frames, 1, 1)),
        labels={},
    )


@torch.no_grad()
def test_a_clip_in_one_pass_is_what_context_and_denoise_compute():
    _, model = random_networks(SMALL_WAN, CPU)
    generator = torch.Generator().manual_seed(0)
    sample, reference = torch.randn(2, 1, 16, 5, 8, 12, generator=generator)
    rope = tuple(
        map(
            torch.from_numpy,
            rope_tables((0.0,), 4, 6, widths=SMALL_WAN.rope_widths, theta=1e4, frames=5),
        )
    )
    prompt = model.prompt(torch.randn(1, 5, 12, generator=generator))
    t = torch.full((1,), 0.7)
    context = model.context(reference, rope, prompt)
    nothing = rope[0][:0], rope[1][:0]
    expected, _ = model.denoise(
        sample, t, reference, context, context[..., :0, :], rope, nothing, prompt
    )
    for known in (None, reference_pairs(model, reference, rope, prompt)):
        got = predict_clip(model, sample, t, rope, reference, prompt, known)
        torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-5)


def test_guidance_leads_from_one_answer_to_the_other_and_beyond():
    away, towards = torch.zeros(3), torch.ones(3)
    assert guided(away, towards, 1.0).eq(1).all()
    assert guided(away, towards, 0.0).eq(0).all()
    assert guided(away, towards, 5.0).eq(5).all()


@pytest.mark.parametrize(("asked", "frames"), [(9, 9), (11, 9), (1, 1)])
def test_wan_realizes_clips_of_its_own_lengths(asked, frames):
    def engine(**options):
        networks = random_networks(SMALL_WAN, CPU)
        return QualityEngine(networks, steps=3, clip=asked, prompts=PROMPTS, **SIZE, **options)

    with engine() as one:
        assert (one.spec.frames, one.spec.first_frames) == (frames, frames)
        chunk = clip_of(frames)
        got = one.realize(chunk)
        assert got.frames.shape == chunk.frames.shape
        assert (got.prompt, got.seed) == ("photo", 0)
        assert np.array_equal(one.realize(chunk).frames, got.frames)  # nothing is carried on
        assert "3 steps, guidance 5)" in repr(one)
    with engine(guidance=1.0) as one:
        assert not np.array_equal(one.realize(chunk).frames, got.frames)
    with engine(negative="photo") as one:  # from the prompt to itself: no guidance is left
        plain = one.realize(chunk).frames.astype(int)
    with engine(guidance=1.0) as one:
        assert np.abs(one.realize(chunk).frames - plain).max() <= 1


def test_what_is_kept_of_the_reference_changes_nothing(monkeypatch):
    answers = []
    for limit in (quality.MAX_KEPT_BYTES, 0):
        monkeypatch.setattr(quality, "MAX_KEPT_BYTES", limit)
        networks = random_networks(SMALL_WAN, CPU)
        with QualityEngine(networks, steps=2, clip=5, prompts=PROMPTS, **SIZE) as engine:
            answers.append(engine.realize(clip_of(5)).frames.astype(int))
    assert np.abs(answers[0] - answers[1]).max() <= 1


def test_two_experts_share_the_steps_at_the_boundary(monkeypatch):
    served = []
    whole = quality.predict_clip
    monkeypatch.setattr(
        quality, "predict_clip", lambda model, *a: served.append(model) or whole(model, *a)
    )
    networks = random_networks(TWO, CPU)
    with QualityEngine(networks, steps=8, clip=4, guidance=1.0, **SIZE) as engine:
        engine.realize(clip_of(4))
        boundary = sum(t >= TWO.expert_boundary for t in engine._sigmas[:-1])
    assert 0 < boundary < 8
    assert served == [networks[1]] * boundary + [networks[2]] * (8 - boundary)


def test_opens_with_guidance_and_another_checkpoints_autoencoder(tmp_path):
    profile = replace(TINY, prompts=("photo", "negative"), falling=False)
    own, other = tmp_path / "own", tmp_path / "other"
    save_checkpoint(own, *random_networks(profile, CPU))
    save_checkpoint(other, *random_networks(profile, CPU, seed=1))
    clip = clip_of(8)
    pictures = []
    for autoencoder in (None, str(other)):
        with load_engine(
            str(own), steps=2, guidance=3, clip=8, device="cpu", autoencoder=autoencoder, **SIZE
        ) as engine:
            pictures.append(engine.realize(clip).frames)
    assert not np.array_equal(*pictures)
    wide = tmp_path / "wide"
    save_checkpoint(wide, *random_networks(replace(profile, latent_channels=16), CPU))
    with pytest.raises(BuildError, match="expected an autoencoder of 8 channels"):
        load_engine(str(own), guidance=3, device="cpu", autoencoder=str(wide), **SIZE)
    with pytest.raises(ConfigError, match="expected --guidance with --clip, got none"):
        load_engine(str(own), clip=8, device="cpu", **SIZE)
    with pytest.raises(ConfigError, match="live chunks with --compile, got --guidance"):
        load_engine(str(own), guidance=3, compile=True, device="cpu", **SIZE)


def test_guidance_without_a_prompt_to_lead_away_from_says_what_to_do():
    networks = random_networks(TINY, CPU)
    with pytest.raises(EngineError, match="called 'negative' to lead away from with guidance 5"):
        QualityEngine(networks, **SIZE)
    with pytest.raises(EngineError, match="clip of at least 4 frames, got 2"):
        QualityEngine(networks, clip=2, guidance=1.0, **SIZE)
