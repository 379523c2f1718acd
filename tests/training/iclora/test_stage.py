import dataclasses

import pytest
import torch
from latent_clips import LatentClip, LatentClips, make_clips

from realmaster_live.errors import PairError
from realmaster_live.model.dit import InContextTransformer
from realmaster_live.model.lora import attach
from realmaster_live.model.profile import TINY, WAN_1_3B
from realmaster_live.model.random_weights import random_networks
from realmaster_live.model.sampling import add_noise
from realmaster_live.training.iclora.batches import Batches
from realmaster_live.training.iclora.conditions import Conditions, draw_samples
from realmaster_live.training.iclora.stage import IcLoraStage, LossBins, prompt_keys
from realmaster_live.training.iclora.timesteps import Timesteps
from realmaster_live.training.latents import ropes
from realmaster_live.training.recompute import recompute

TINY_WAN = dataclasses.replace(
    WAN_1_3B, width=48, layers=2, heads=2, hidden=64, text_width=20, frequency_width=32,
    half=4, fine=4, middle=8, deep=8, memory=4,
)  # fmt: skip
TEXT = torch.randn(5, 20, generator=torch.Generator().manual_seed(0))


USUAL = Conditions()


def stage_of(profile, conditions=USUAL, text=None, saving=False, **options):
    """A stage with an adapter that already has a say."""
    channels = profile.latent_channels
    clips = make_clips(4, seed=3, channels=channels, frames=4 * profile.chunk_latents,
                       prompts=profile.prompts or ("",), text=text)  # fmt: skip
    model = random_networks(profile, torch.device("cpu"))[1]
    recompute(model, "blocks" if saving else "nothing")
    adapter = attach(model, rank=4, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        for low_rank in adapter.low_ranks.values():
            low_rank.up.normal_(std=0.05, generator=torch.Generator().manual_seed(1))
    batches = Batches(clips, profile, seed=0, batch=2, chunks=conditions.chunks_for(profile))
    stage = IcLoraStage(model, batches, conditions=conditions, timesteps=Timesteps(), **options)
    return stage, adapter


def gradients(stage, adapter, step=0):
    stage.loss(step)["loss"].backward()
    found = [parameter.grad.clone() for parameter in adapter.parameters()]
    for parameter in adapter.parameters():
        parameter.grad = None
    return found


@pytest.mark.parametrize("profile", [TINY, TINY_WAN], ids=["x0", "velocity"])
def test_the_loss_is_the_flow_loss_of_the_last_chunk(profile):
    """By hand, through the model's own passes: context, ring, denoise; x0 or v = eps - x0."""
    text = TEXT if profile is TINY_WAN else None
    still = Conditions(history_noise=0.0, history_dropout=0.0, reference_dropout=0.0,
                       caption_dropout=0.0, first_latent=0.0, chunks=2)  # fmt: skip
    stage, _ = stage_of(profile, still, text=text)
    batch, model = stage.batches.draw(7), stage.module
    draws = draw_samples(still, stage.timesteps, seed=0, samples=batch.samples,
                         like=batch.target, tokens=stage_tokens(profile))  # fmt: skip
    past, last = batch.target
    rope = ropes(profile, 2, 3)
    with torch.no_grad():
        prompt = prompt_keys(model, batch)
        before = model.context(batch.reference[0], rope, prompt)
        zero, none = torch.zeros(2), ropes(profile, 2, 3, ())
        kept = model.denoise(past, zero, batch.reference[0], before, before[..., :0, :], rope,
                             none, prompt)[1]  # fmt: skip
        context = model.context(batch.reference[1], rope, prompt)
        noisy = add_noise(last, draws.noise, draws.t)
        time = -1.0 if profile is TINY else -2.0  # Wan's sink stays beyond the ring
        x0, _ = model.denoise(noisy, draws.t, batch.reference[1], context, kept, rope,
                              ropes(profile, 2, 3, (time,)), prompt)  # fmt: skip
        t = draws.t.view(-1, *[1] * (last.ndim - 1))
        if profile.prediction == "velocity":
            expected = ((noisy - x0) / t - (draws.noise - last)).square().mean()
        else:
            expected = (x0 - last).square().mean()
        got = stage.loss(7)["loss"]
    torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-6)


def stage_tokens(profile):
    return 6 * profile.chunk_latents


def test_only_the_adapter_learns_and_all_of_it_does():
    stage, adapter = stage_of(TINY_WAN, Conditions(reference_dropout=0.0), text=TEXT,
                              empty_text=0 * TEXT)  # fmt: skip
    stage.loss(1)["loss"].backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in adapter.parameters())
    wanted = {id(parameter) for parameter in adapter.parameters()}
    frozen = [p for p in stage.module.parameters() if id(p) not in wanted]
    assert frozen
    assert all(parameter.grad is None for parameter in frozen)


@pytest.mark.parametrize("profile", [TINY, TINY_WAN], ids=["one frame", "three frames"])
def test_gradient_checkpointing_changes_no_gradient(profile):
    options = {} if profile is TINY else {"text": TEXT, "empty_text": 0 * TEXT}
    plain, adapter = stage_of(profile, **options)
    saving, other = stage_of(profile, saving=True, **options)
    for step in range(3):
        for a, b in zip(gradients(plain, adapter, step), gradients(saving, other, step),
                        strict=True):  # fmt: skip
            assert torch.equal(a, b)


def test_gradient_checkpointing_keeps_less_for_the_way_back():
    kept = {}
    for saving in (False, True):
        stage, _ = stage_of(TINY, saving=saving)
        sizes = []
        with torch.autograd.graph.saved_tensors_hooks(
            lambda x, sizes=sizes: (sizes.append(x.numel()), x)[1], lambda x: x
        ):
            stage.loss(0)
        kept[saving] = sum(sizes)
    assert kept[True] < 0.5 * kept[False]


def test_without_the_render_nothing_of_it_is_seen():
    blind = Conditions(reference_dropout=1.0)
    stage, _ = stage_of(TINY, blind)
    with torch.no_grad():
        before = stage.loss(3)["loss"]
        for clip in stage.batches.pairs.clips:
            clip.reference.mul_(5.0)
        assert torch.equal(stage.loss(3)["loss"], before)
        seeing = dataclasses.replace(stage.conditions, reference_dropout=0.0)
        stage.conditions = seeing
        one = stage.loss(3)["loss"]
        for clip in stage.batches.pairs.clips:
            clip.reference.mul_(5.0)
        assert not torch.equal(stage.loss(3)["loss"], one)


def test_the_past_has_a_say_and_noise_changes_it():
    stage, _ = stage_of(TINY, Conditions(history_dropout=0.0, history_noise=0.0, first_latent=0.0))
    noised, _ = stage_of(TINY, Conditions(history_dropout=0.0, history_noise=1.0, first_latent=0.0))
    prefix, _ = stage_of(TINY, Conditions(history_dropout=0.0, history_noise=1.0, first_latent=1.0))
    with torch.no_grad():
        clean = stage.loss(0)["loss"]
        assert not torch.equal(noised.loss(0)["loss"], clean)
        assert torch.equal(prefix.loss(0)["loss"], clean)  # the chunk before is given clean


def test_a_first_latent_given_clean_is_not_noised_and_in_no_loss():
    """Neither the noise on it nor its own error moves the loss; on the other frames they do."""
    prefix = Conditions(first_latent=1.0, history_dropout=0.0, caption_dropout=0.0)
    stage, _ = stage_of(TINY_WAN, prefix, text=TEXT)
    batch = stage.batches.draw(0)
    draws = draw_samples(prefix, stage.timesteps, seed=0, samples=batch.samples,
                         like=batch.target, tokens=stage_tokens(TINY_WAN))  # fmt: skip
    assert all(draws.clean_first)
    for frame, same in ((0, True), (1, False)):
        noise = draws.noise.clone()
        noise[:, :, frame] += 1.0
        other = dataclasses.replace(draws, noise=noise)
        with torch.no_grad():
            losses = [stage.losses(batch, batch.reference, batch.target, d)
                      for d in (draws, other)]  # fmt: skip
        assert torch.equal(*losses) == same


def test_dropped_captions_are_the_empty_prompt():
    never, _ = stage_of(TINY, Conditions(caption_dropout=0.0))
    always, _ = stage_of(TINY, Conditions(caption_dropout=1.0))
    first = make_clips(4, seed=3, frames=4, prompts=("as simulated",))
    plain, _ = stage_of(TINY, Conditions(caption_dropout=0.0))
    plain.batches.pairs = first
    with torch.no_grad():
        losses = [[float(each.loss(step)["loss"]) for step in range(6)]
                  for each in (always, never, plain)]  # fmt: skip
    assert losses[0] != losses[1]
    assert losses[0] == losses[2]
    told, _ = stage_of(TINY_WAN, Conditions(caption_dropout=1.0), text=TEXT)
    with pytest.raises(PairError, match="empty prompt"):
        told.loss(0)
    told.empty_text = TEXT + 1.0
    with torch.no_grad():
        assert told.loss(0)["loss"].isfinite()


def test_prompts_that_a_model_cannot_take_are_reported():
    stage, _ = stage_of(TINY)
    stage.batches.pairs = LatentClips(
        [LatentClip("a storm", clip.reference, clip.target) for clip in stage.batches.pairs.clips]
    )
    with pytest.raises(PairError, match="a storm"):
        stage.loss(0)
    with pytest.raises(PairError, match="embeddings of the prompts"):
        stage_of(TINY_WAN)[0].loss(0)


def test_losses_are_reported_by_noise_level():
    bins = LossBins()
    bins.add(torch.tensor([0.05, 0.06, 1.0]), torch.tensor([1.0, 2.0, 5.0]))
    assert bins.take() == {"0.0-0.1": 1.5, "0.9-1.0": 5.0}
    assert bins.take() == {}


def test_a_latent_frame_given_clean_is_seen_as_clean():
    """Tokens with timesteps of their own: the clean frame's stay what they are."""
    model = InContextTransformer(TINY_WAN)
    out = torch.randn(1, 16, 3, 4, 6)
    spread = model.spread(torch.arange(18.0).view(1, 18), out)
    assert spread.shape == out.shape
    assert spread[0, 0, 1, 2, 3] == 6 + 3 + 1  # second frame, second row of tokens, second column


def test_a_flow_that_starts_at_the_render_is_fitted_without_noise():
    """The loss is that of x_t between render and truth, whatever noise is drawn."""
    profile = dataclasses.replace(TINY_WAN, flow_from="render", steps=1, ring=0, sink=0)
    always_dropped = Conditions(reference_dropout=1.0, first_latent=0.0, caption_dropout=0.0)
    stage, adapter = stage_of(profile, always_dropped, text=TEXT)
    batch, model = stage.batches.draw(7), stage.module
    draws = draw_samples(always_dropped, stage.timesteps, seed=0, samples=batch.samples,
                         like=batch.target, tokens=stage_tokens(profile))  # fmt: skip
    other = dataclasses.replace(draws, noise=torch.randn(draws.noise.shape))
    loss = stage.losses(batch, batch.reference, batch.target, draws)
    assert torch.equal(loss, stage.losses(batch, batch.reference, batch.target, other))
    with torch.no_grad():
        last, reference = batch.target[-1], batch.reference[-1]
        x_t = add_noise(last, reference, draws.t)
        rope, none, prompt = (
            ropes(profile, 2, 3),
            ropes(profile, 2, 3, ()),
            prompt_keys(model, batch),
        )
        context = model.context(reference, rope, prompt)
        x0, _ = model.denoise(x_t, draws.t, reference, context, context, rope, none, prompt)
        t = draws.t.view(-1, 1, 1, 1, 1)
        expected = ((x_t - x0) / t - (reference - last)).square().mean((1, 2, 3, 4))
    torch.testing.assert_close(loss, expected, atol=1e-4, rtol=1e-4)
    assert any(gradient.abs().max() > 0 for gradient in gradients(stage, adapter))
