import math

import numpy as np
import pytest
import torch

from realmaster_live.errors import ConfigError
from realmaster_live.model.profile import TINY, WAN_1_3B
from realmaster_live.training.iclora.conditions import (
    Conditions,
    draw_samples,
    levels,
    masked_error,
    plan_step,
    token_timesteps,
)
from realmaster_live.training.iclora.timesteps import Timesteps


def test_mean_of_timesteps_is_a_line_over_tokens():
    timesteps = Timesteps()
    assert timesteps.mean(1024) == pytest.approx(0.95)
    assert timesteps.mean(4096) == pytest.approx(2.05)
    assert timesteps.mean(2560) == pytest.approx(1.5)


def test_timesteps_are_shifted_logit_normal():
    rng = np.random.default_rng(0)
    timesteps = Timesteps(uniform=0.0, std=0.5)
    drawn = np.array([timesteps.draw(rng, 1024) for _ in range(4000)])
    logits = np.log(drawn / (1 - drawn))
    assert logits.mean() == pytest.approx(0.95, abs=0.03)
    assert logits.std() == pytest.approx(0.5, abs=0.03)


def test_shares_of_uniform_and_pure_noise_and_an_experts_span():
    rng = np.random.default_rng(1)
    mixed = Timesteps(mean_at_1024=4.0, mean_at_4096=4.0, std=0.1, uniform=0.4, pure=0.3)
    drawn = np.array([mixed.draw(rng, 100) for _ in range(4000)])
    assert (drawn == 1.0).mean() == pytest.approx(0.3, abs=0.03)
    below = 1 / (1 + math.exp(-3.5))  # what the logit-normal hardly reaches
    assert (drawn < below).mean() == pytest.approx(0.4 * below, abs=0.03)
    low = np.array([mixed.draw(rng, 100, (0.0, 0.875)) for _ in range(200)])
    high = np.array([mixed.draw(rng, 100, (0.875, 1.0)) for _ in range(200)])
    assert low.min() >= 1e-3
    assert low.max() <= 0.875 <= high.min()
    with pytest.raises(ConfigError, match="sum up to at most 1"):
        Timesteps(uniform=0.6, pure=0.6)


def test_plans_have_the_shares_that_are_asked_for():
    conditions = Conditions(history_dropout=0.3, reference_dropout=0.2)
    plans = [plan_step(conditions, WAN_1_3B, seed=0, step=step) for step in range(2000)]
    assert np.mean([plan.from_start for plan in plans]) == pytest.approx(0.3, abs=0.04)
    assert np.mean([not plan.reference for plan in plans]) == pytest.approx(0.2, abs=0.04)
    assert {plan.past for plan in plans if not plan.from_start} == {2}  # sink and ring are full
    assert {plan.past for plan in plans if plan.from_start} == {0, 1}
    assert plans[:5] == [plan_step(conditions, WAN_1_3B, seed=0, step=step) for step in range(5)]
    alone = [plan_step(Conditions(), TINY, seed=1, step=step) for step in range(99)]
    assert {plan.past for plan in alone} == {0, 1}


def test_a_samples_draws_follow_from_its_number_whoever_draws_it():
    like = torch.zeros(3, 4, 8, 4, 6)
    options = {"seed": 5, "tokens": 6}
    conditions = Conditions(first_latent=0.5, caption_dropout=0.5)
    whole = draw_samples(conditions, Timesteps(), samples=(8, 9, 10, 11), like=like, **options)
    share = draw_samples(conditions, Timesteps(), samples=(9, 11), like=like[:, 1::2], **options)
    for name in ("t", "noise", "history_t"):
        assert torch.equal(getattr(whole, name)[1::2], getattr(share, name)), name
    for name in ("clean_first", "no_caption"):
        assert getattr(whole, name)[1::2] == getattr(share, name), name
    assert torch.equal(whole.history[:, 1::2], share.history)
    assert whole.noise.shape == like.shape[1:]
    assert whole.history.shape == (2, *like.shape[1:])
    assert whole.noise.std() == pytest.approx(1.0, abs=0.1)
    assert not torch.equal(whole.noise[0], whole.noise[1])


def test_a_clean_first_latent_has_timestep_zero_and_no_loss():
    """By hand: two frames of one place, the first of them given clean."""
    t, clean = torch.tensor([0.5, 0.5]), (True, False)
    wanted = torch.zeros(2, 1, 2, 2, 2)
    each = levels(t, clean, wanted)
    assert each[:, 0, :, 0, 0].tolist() == [[0.0, 0.5], [0.5, 0.5]]
    assert token_timesteps(each, clean, 2).tolist() == [[0.0, 0.5], [0.5, 0.5]]
    got = wanted.clone()
    got[:, :, 0], got[:, :, 1] = 3.0, 1.0  # errors of the first and the second frame
    assert masked_error(got, wanted, each, velocity=False).tolist() == [1.0, (9.0 + 1.0) / 2]
    # v = (x_t - x0) / t: an error of 1 in x0 at t = 0.5 is one of 2 in v
    assert masked_error(got, wanted, each, velocity=True).tolist() == [4.0, (36.0 + 4.0) / 2]


def test_tokens_share_a_timestep_where_all_frames_do():
    t, like = torch.tensor([0.2, 0.7]), torch.zeros(2, 16, 3, 4, 4)
    none, both, one = (False, False), (True, True), (False, True)
    assert torch.equal(token_timesteps(levels(t, none, like), none, 12), t)
    assert torch.equal(token_timesteps(levels(t, both, like[:, :, 0]), both, 4), t)
    mixed = token_timesteps(levels(t, one, like), one, 12)
    assert mixed.shape == (2, 12)
    assert mixed[1].tolist() == pytest.approx([0.0] * 4 + [0.7] * 8)


def test_shares_outside_zero_and_one_are_reported():
    with pytest.raises(ConfigError, match=r"caption_dropout in 0\.\.1, got 1\.5"):
        Conditions(caption_dropout=1.5)
